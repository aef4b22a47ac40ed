#include "comm/heartbeat.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace kvcomm {

namespace {

constexpr int kTag = 1;
constexpr double kLooks = 20;  // between two beats

}  // namespace

Heartbeat::Heartbeat(const Communicator& world, const std::set<int>& tied, Seconds timeout_s)
    : ranks_(world.duplicate()), every_s_(std::min(kEvery_s, timeout_s / 4)) {
  for (const int rank : tied) peers_[rank];
  thread_ = std::thread([this] { run(); });
}

Heartbeat::~Heartbeat() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  ended_.notify_all();
  thread_.join();
}

void Heartbeat::run() {
  try {
    Seconds looked_at_s = now_s(), next_beat_s = looked_at_s;
    std::unique_lock lock(mutex_);
    do {
      const Seconds now = now_s();
      listen(now - std::exchange(looked_at_s, now));
      if (now < next_beat_s) continue;
      next_beat_s = now + every_s_;
      beat();
    } while (!ended_.wait_for(lock, std::chrono::duration<double>(every_s_ / kLooks),
                              [this] { return over_; }));
  } catch (const Error& error) {
    spdlog::critical("The watch for silent ranks failed: {}", error.what());
    abort_job(static_cast<int>(error.exit()));
  }
}

void Heartbeat::listen(Seconds passed_s) {
  const Seconds awake_s = std::min(passed_s, every_s_);
  for (auto& [rank, peer] : peers_) peer.silent_s = peer.silent_s + awake_s;
  while (const auto heard = ranks_.poll(kTag)) peers_.at(heard->source).silent_s = 0;
}

void Heartbeat::beat() {
  for (auto& [rank, peer] : peers_) {
    if (peer.beat && !peer.beat->done()) continue;
    peer.beat = ranks_.start_send({}, nullptr, rank, kTag);
  }
}

}  // namespace kvcomm
