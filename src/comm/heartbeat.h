// Tells a rank that computes from one that is gone. A thread of every rank says to the ranks it is
// tied to, every few seconds, that it lives, whatever its rank does meanwhile, and counts how long
// nothing came from them. It has a communicator of its own, so that no pipe's bytes are its.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/clock.h"
#include "comm/communicator.h"

namespace kvcomm {

class Heartbeat {
 public:
  // So often, or four times within the time after which silence counts.
  static constexpr Seconds kEvery_s = 5;

  // Collective; begins at once. tied: ranks of the world, each of which is tied to this one. One
  // that is silent is noticed within timeout_s (run.timeout_s), by whoever asks.
  Heartbeat(const Communicator& world, const std::set<int>& tied, Seconds timeout_s);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // For how long nothing came from that rank. What this process slept itself is not counted: after
  // a pause of the whole job nobody is silent.
  Seconds silent_s(int rank) const { return peers_.at(rank).silent_s; }

 private:
  struct Peer {
    std::optional<Transfer> beat;  // one at most is under way: a dead link takes none
    std::atomic<Seconds> silent_s = 0;
  };

  void run();
  void listen(Seconds passed_s);
  void beat();

  Communicator ranks_;
  Seconds every_s_;
  std::map<int, Peer> peers_;
  std::mutex mutex_;  // of over_
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace kvcomm
