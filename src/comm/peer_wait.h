// A wait of a pipe's end for the other one. One that gives signs of life still computes: it has
// until a deadline. One that gave none for run.timeout_s is waited for no longer, whatever the
// deadline. A long wait says now and then what it is for.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/reminder.h"
#include "comm/deadline.h"

namespace kvcomm {

// For how long the other end's process gave no sign of life.
using SilentFor = std::function<Seconds()>;

class PeerWait {
 public:
  struct Limits {
    Seconds in_all_s = 0, in_silence_s = 0;
    Seconds first_word_s = Reminder::kFirst_s;
  };

  // Runs from now on: `what` is waited for, from `peer`. Without silent_s that one is not known to
  // live or not.
  PeerWait(std::string what, std::string peer, Limits limits, SilentFor silent_s)
      : what_(std::move(what)),
        peer_(std::move(peer)),
        limits_(limits),
        silent_s_(std::move(silent_s)),
        deadline_(limits.in_all_s, what_, peer_),
        reminder_(limits.first_word_s) {}

  // Calls done() as Deadline::wait() does; false: in vain.
  template <typename Done>
  bool until(Done&& done, Seconds max_sleep_s = Deadline::kMaxSleep) {
    bool is_done = false;
    deadline_.wait(
        [&] {
          is_done = done();
          if (!is_done) remind();
          return is_done || peer_is_silent();
        },
        max_sleep_s);
    return is_done;
  }

  bool in_vain() const { return deadline_.expired() || peer_is_silent(); }
  bool peer_is_silent() const { return silent_s_ && silent_s_() >= limits_.in_silence_s; }
  // Throws Error(kEnvironment): what was waited for, from whom, how long, and why no longer.
  [[noreturn]] void fail_in_vain() const;

 private:
  void remind();

  std::string what_, peer_;
  Limits limits_;
  SilentFor silent_s_;
  Deadline deadline_;
  Stopwatch watch_;
  Reminder reminder_;
};

}  // namespace kvcomm
