// Where a rank stands in its lane, and with what.
#pragma once

#include <c10/core/Device.h>

#include <numeric>
#include <string>
#include <vector>

namespace kvcomm {

enum class Role { kSender, kReceiver, kBoth };

// In the lane's communicator the senders come first, then the receiver.
struct Seat {
  int lane = 0;
  Role role = Role::kBoth;
  int senders = 1;  // of the lane
  int sender = 0;   // which of them this is, where it is one
  at::Device device = at::kCPU;
  std::string gpu = {};   // the device's UUID as 32 hexadecimal digits; "": it is none
  std::string transport;  // "loopback" | "mpi" | "nccl"
  // Of the lane's ends, in the order of its communicator: their ranks in the world, and what
  // messages call them ("rank 2 (sender of lane 1) on node7").
  std::vector<int> world_ranks = {};
  std::vector<std::string> names = {};

  bool sends() const { return role != Role::kReceiver; }
  bool receives() const { return role != Role::kSender; }
  int rank_in_lane() const { return role == Role::kReceiver ? senders : sender; }

  // The other ends' ranks in the lane's communicator: a sender has one, the receiver one a sender.
  std::vector<int> peers() const {
    if (role == Role::kBoth) return {};
    if (role == Role::kSender) return {senders};
    std::vector<int> all(static_cast<size_t>(senders));
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  // The other end's rank of each of its pipes: one that plays all ends has them to itself.
  std::vector<int> pipe_peers() const {
    const auto pipes = static_cast<size_t>(senders);
    return role == Role::kBoth ? std::vector<int>(pipes, rank_in_lane()) : peers();
  }
  // Which of the lane's senders it plays.
  std::vector<size_t> plays_senders() const {
    if (role == Role::kReceiver) return {};
    std::vector<size_t> played{static_cast<size_t>(sender)};
    if (role == Role::kBoth) {
      played.resize(static_cast<size_t>(senders));
      std::iota(played.begin(), played.end(), size_t{0});
    }
    return played;
  }
};

}  // namespace kvcomm
