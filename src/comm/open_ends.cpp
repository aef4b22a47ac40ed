#include "comm/open_ends.h"

#include "base/error.h"
#include "comm/loopback_transport.h"
#include "comm/mpi_transport.h"
#include "comm/nccl_transport.h"
#include "comm/throttled.h"

namespace kvcomm {

namespace {

std::unique_ptr<Transport> with_faults(const PipeRequest& request,
                                       std::unique_ptr<Transport> transport) {
  return request.faults == nullptr ? std::move(transport)
                                   : request.faults->around(std::move(transport));
}

std::unique_ptr<SendEnd> sending(const PipeRequest& request, std::unique_ptr<Transport> transport) {
  transport = with_faults(request, std::move(transport));
  if (request.bytes_per_s > 0) {
    transport = std::make_unique<Throttled>(std::move(transport), request.bytes_per_s);
  }
  return std::make_unique<SendEnd>(std::move(transport), request.end);
}

std::unique_ptr<ReceiveEnd> receiving(const PipeRequest& request,
                                      std::unique_ptr<Transport> transport) {
  return std::make_unique<ReceiveEnd>(with_faults(request, std::move(transport)), request.end);
}

PipeEnds both_ends(const PipeRequest& request, LoopbackTransport::Ends transports) {
  return {.link = nullptr,
          .sender = sending(request, std::move(transports.sender)),
          .receiver = receiving(request, std::move(transports.receiver))};
}

PipeEnds one_end(const PipeRequest& request, std::unique_ptr<Transport> transport) {
  PipeEnds ends;
  if (request.sends) {
    ends.sender = sending(request, std::move(transport));
  } else {
    ends.receiver = receiving(request, std::move(transport));
  }
  return ends;
}

}  // namespace

PipeEnds open_ends(const PipeRequest& request, Communicator* lane) {
  const bool both = request.sends && request.receives;
  if (request.transport == "nccl") {
    std::shared_ptr<NcclLink> link = request.link;
    if (link == nullptr) {
      link = connect_nccl(*lane, request.end.device, request.end.timeout_s);
    }
    PipeEnds ends = both ? both_ends(request, NcclSelfTransport::make(*link))
                         : one_end(request, std::make_unique<NcclTransport>(
                                                MpiRoute{*lane, request.peer}, *link, request.end));
    ends.link = std::move(link);
    return ends;
  }
  if (request.transport != "mpi" && request.transport != "loopback") {
    fail(Exit::kInternal, "There is no transport '{}'.", request.transport);
  }
  if (both) return both_ends(request, LoopbackTransport::make());
  return one_end(request,
                 std::make_unique<MpiTransport>(MpiRoute{*lane, request.peer}, request.end));
}

PipeEnds open_return_ends(const PipeRequest& request, Communicator* lane) {
  if (request.sends && request.receives) return both_ends(request, LoopbackTransport::make());
  const MpiRoute back{*lane, request.peer, MpiTransport::kTags};
  return one_end(request, std::make_unique<MpiTransport>(back, request.end));
}

}  // namespace kvcomm
