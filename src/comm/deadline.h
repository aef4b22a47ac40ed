// Deadlines: no wait in this program goes without one; one that expires says what it waited for.
#pragma once

#include <algorithm>
#include <string>
#include <thread>

#include "base/clock.h"

namespace kvcomm {

class Deadline {
 public:
  // Runs from now on: `what` is waited for ("the header of a kv message"), from `whom` ("rank 1").
  Deadline(Seconds timeout_s, std::string what, std::string whom)
      : timeout_s_(timeout_s), what_(std::move(what)), whom_(std::move(whom)) {}

  bool expired() const { return watch_.elapsed_s() > timeout_s_; }

  // Throws Error(kEnvironment): what was waited for, from whom, how long, and that run.timeout_s
  // raises it.
  [[noreturn]] void fail_expired() const;

  // Calls done() until it returns true and returns true, or returns false when time is over.
  // Between calls it first yields, then sleeps longer and longer, up to max_sleep_s.
  template <typename Done>
  bool wait(Done&& done, Seconds max_sleep_s = kMaxSleep) const {
    Seconds sleep_s = 10e-6;
    for (int tries = 0; !done(); ++tries) {
      if (expired()) return false;
      if (tries < kYields) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::duration<double>(sleep_s));
        sleep_s = std::min(2 * sleep_s, max_sleep_s);
      }
    }
    return true;
  }

  // As wait(), but throws when time is over.
  template <typename Done>
  void require(Done&& done, Seconds max_sleep_s = kMaxSleep) const {
    if (!wait(done, max_sleep_s)) fail_expired();
  }

  static constexpr Seconds kMaxSleep = 500e-6;
  // For bulk transfers, which some MPI libraries move only piece by piece inside their calls.
  static constexpr Seconds kMaxSleepInTransfer = 50e-6;

 private:
  static constexpr int kYields = 100;

  Seconds timeout_s_;
  std::string what_, whom_;
  Stopwatch watch_;
};

}  // namespace kvcomm
