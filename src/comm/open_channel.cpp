#include "comm/open_channel.h"

#include "base/error.h"
#include "comm/loopback_channel.h"
#include "comm/mpi_channel.h"
#include "comm/nccl_channel.h"

namespace kvcomm {

namespace {

std::unique_ptr<Channel> open_end(const ChannelRequest& request, Communicator& lane,
                                  NcclLink* link) {
  if (link != nullptr) {
    return std::make_unique<NcclChannel>(lane, *link, request.peer, request.channel);
  }
  return std::make_unique<MpiChannel>(lane, request.peer, request.channel);
}

}  // namespace

ChannelEnds open_channel(const ChannelRequest& request, Communicator* lane) {
  ChannelEnds ends;
  if (request.transport == "nccl") {
    ends.link = connect_nccl(*lane, request.channel.device, request.channel.timeout_s);
  } else if (request.transport != "mpi" && request.transport != "loopback") {
    fail(Exit::kInternal, "There is no transport '{}'.", request.transport);
  }
  if (request.sends && request.receives) {
    LoopbackEnds both = ends.link != nullptr ? NcclSelfChannel::make(*ends.link, request.channel)
                                             : LoopbackChannel::make(request.channel);
    ends.sender = std::move(both.sender);
    ends.receiver = std::move(both.receiver);
  } else {
    (request.sends ? ends.sender : ends.receiver) = open_end(request, *lane, ends.link.get());
  }
  return ends;
}

}  // namespace kvcomm
