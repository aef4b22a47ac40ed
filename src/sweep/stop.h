// How a job ends when one of its processes gets a stop signal (signals.h). A thread of every rank
// watches, whatever the rank's lane computes or waits for: it tells rank 0 of a signal, and ends
// its process when rank 0 says so. So the ends of a lane need not agree on where to stop.
#pragma once

#include <atomic>
#include <limits>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"
#include "comm/communicator.h"

namespace kvcomm {

class Stop {
 public:
  // Collective; starts the watch. A stop that is asked for before begin_work() ends the job at
  // once.
  explicit Stop(const Communicator& world);
  ~Stop();
  Stop(const Stop&) = delete;
  Stop& operator=(const Stop&) = delete;

  // ---- of rank 0 alone
  // The job's time is over then, by now_s(): it is stopped that much earlier as run.grace_s and the
  // writing of the results may take. why begins the sentence: "The time budget is nearly over".
  void end_by(Seconds at_s, const std::string& why);
  // From now on there is something to keep, and whoever works looks at asked(). grace_s is for the
  // line that tells the user what happens.
  void begin_work(Seconds grace_s);
  // Nothing is left to do but to write the results: a stop no longer changes anything.
  void end_work();
  bool asked() const { return asked_; }
  // Ends every process of the job with kStopped, whatever it is doing. (Other ranks call it too,
  // when they are told.)
  [[noreturn]] void leave();

 private:
  enum class Phase { kStart, kWork, kEnd };

  void watch();
  void look(bool& told);
  void look_at_time();
  void take_signal(int signal, int rank);
  void take(const std::string& why);  // with the mutex held

  Communicator ranks_;
  std::mutex mutex_;  // of what follows: what is asked at the start must not overlap with work
  Phase phase_ = Phase::kStart;
  Seconds grace_s_ = 0;
  Seconds ends_at_s_ = std::numeric_limits<Seconds>::infinity();
  std::string why_it_ends_;
  std::atomic<bool> asked_ = false, over_ = false;
  std::thread watch_;
};

}  // namespace kvcomm
