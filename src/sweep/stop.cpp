#include "sweep/stop.h"

#include <cstdlib>

#include "base/error.h"
#include "base/log.h"
#include "sweep/signals.h"

namespace kvcomm {

namespace {

constexpr int kAskTag = 1;    // a rank has got a signal, whose number it sends
constexpr int kLeaveTag = 2;  // rank 0 says that all leave
constexpr Seconds kLook_s = 0.02;
constexpr Seconds kLeave_s = 5;   // for what the ranks still say to each other
constexpr Seconds kWrite_s = 15;  // for results.h5 of a large sweep, twice

}  // namespace

Stop::Stop(const Communicator& world) : ranks_(world.duplicate()), watch_([this] { watch(); }) {}

Stop::~Stop() {
  over_ = true;
  watch_.join();
}

void Stop::end_by(Seconds at_s, const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (at_s >= ends_at_s_) return;
  ends_at_s_ = at_s;
  why_it_ends_ = why;
}

void Stop::begin_work(Seconds grace_s) {
  const std::lock_guard lock(mutex_);
  phase_ = Phase::kWork;
  grace_s_ = grace_s;
}

void Stop::end_work() {
  const std::lock_guard lock(mutex_);
  phase_ = Phase::kEnd;
}

void Stop::watch() {
  try {
    for (bool told = false; !over_; look(told)) {
      std::this_thread::sleep_for(std::chrono::duration<double>(kLook_s));
    }
  } catch (const Error& error) {
    spdlog::critical("The watch for stop signals failed: {}", error.what());
    abort_job(static_cast<int>(error.exit()));
  }
}

// told: this process's own signal is known at rank 0.
void Stop::look(bool& told) {
  const int signal = stop_signal();
  const bool news = signal != 0 && !told;
  told = signal != 0;
  if (ranks_.rank() != 0) {
    if (news) {
      ranks_.send(std::to_string(signal), 0, kAskTag, {kLeave_s, "the news of a signal", "rank 0"});
    }
    if (ranks_.poll(kLeaveTag, 0)) leave();
    return;
  }
  if (news) take_signal(signal, 0);
  while (const auto asked = ranks_.poll(kAskTag)) {
    take_signal(std::stoi(asked->bytes), asked->source);
  }
  look_at_time();
}

void Stop::look_at_time() {
  const std::lock_guard lock(mutex_);
  if (now_s() > ends_at_s_ - grace_s_ - kWrite_s) take(why_it_ends_);
}

void Stop::take_signal(int signal, int rank) {
  const std::lock_guard lock(mutex_);
  take(signal_name(signal) + (rank == 0 ? "" : fmt::format(" at rank {}", rank)));
}

void Stop::take(const std::string& why) {
  if (asked_) return;
  switch (phase_) {
    case Phase::kStart:
      spdlog::warn("{}: nothing has begun yet, so the run ends here.", why);
      leave();
    case Phase::kWork:
      spdlog::warn(
          "{}: what is in hand is finished if it ends within {} s (run.grace_s), then results.h5 "
          "is written; a second signal leaves at once.",
          why, grace_s_);
      break;
    case Phase::kEnd:
      spdlog::warn(
          "{}: the work is over, and results.h5 is being written; a second signal leaves "
          "at once.",
          why);
  }
  asked_ = true;
}

// No rank goes before the others know: the launcher would end them in its own way.
void Stop::leave() {
  const Deadline deadline(kLeave_s, "their leave", "all ranks");
  try {
    for (int rank = 1; ranks_.rank() == 0 && rank < ranks_.size(); ++rank) {
      ranks_.send("", rank, kLeaveTag, deadline);
    }
    ranks_.barrier(deadline);
  } catch (const Error& error) {
    spdlog::warn("{}", error.what());
  }
  spdlog::default_logger()->flush();
  std::_Exit(static_cast<int>(Exit::kStopped));
}

}  // namespace kvcomm
