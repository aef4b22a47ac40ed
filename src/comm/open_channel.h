// The channels of a lane, by the transport's name: the one place that knows all back ends.
#pragma once

#include <memory>
#include <string>

#include "comm/channel.h"
#include "comm/communicator.h"
#include "comm/nccl_link.h"

namespace kvcomm {

struct ChannelRequest {
  std::string transport;                 // "loopback", "mpi", "nccl"
  bool sends = false, receives = false;  // both: a lane of one process
  int peer = 0;                          // the other end's rank in the lane's communicator
  ChannelOptions channel;
};

// This process's ends; the link outlives them.
struct ChannelEnds {
  std::unique_ptr<NcclLink> link;
  std::unique_ptr<Channel> sender, receiver;
};

// Collective over the lane, which may be null where this process is both ends of a loopback. Fails
// (kEnvironment) where the transport cannot be had.
ChannelEnds open_channel(const ChannelRequest& request, Communicator* lane);

}  // namespace kvcomm
