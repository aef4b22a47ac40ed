// Where a rank stands in its lane, and with what.
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace kvcomm {

enum class Role { kSender, kReceiver, kBoth };

struct Seat {
  int lane = 0;
  Role role = Role::kBoth;
  int peer = 0;  // the other end's rank in the lane's communicator
  at::Device device = at::kCPU;
  std::string transport;  // "loopback" | "mpi" | "nccl"

  bool sends() const { return role != Role::kReceiver; }
  bool receives() const { return role != Role::kSender; }
};

}  // namespace kvcomm
