// The transport from GPU to GPU over NCCL; notes go over MPI as in MpiTransport. Tensors of one
// layer (K and V) go as one group on the link's stream, ordered behind the compute that makes them
// by events; the receiver posts the same groups before it answers ready. A message is done when its
// own event is reached, whatever follows it on the stream.
#pragma once

#include "comm/loopback_transport.h"
#include "comm/mpi_transport.h"
#include "comm/nccl_link.h"

namespace kvcomm {

class NcclTransport : public NotesOverMpi {
 public:
  // `link` (which may serve several pipes of the lane in one direction) outlives the transport.
  NcclTransport(const MpiRoute& route, NcclLink& link, EndOptions options)
      : NotesOverMpi(route, std::move(options)), link_(link) {}

  std::unique_ptr<Sending> start_sending() override;
  std::unique_ptr<Receiving> start_receiving(const Header& header) override;
  bool needs_host() const override { return false; }
  void give_up() noexcept override { link_.abort(); }

 private:
  NcclLink& link_;
};

// The transport of a lane that is one process on one GPU: it sends to itself. The sender posts both
// halves into buffers that the receiver takes.
class NcclSelfTransport : public LoopbackTransport {
 public:
  static Ends make(NcclLink& link);

  std::unique_ptr<Sending> start_sending() override;
  void give_up() noexcept override { link_.abort(); }

 private:
  NcclSelfTransport(NcclLink& link, std::shared_ptr<Queue> queue)
      : LoopbackTransport(std::move(queue)), link_(link) {}

  NcclLink& link_;
};

}  // namespace kvcomm
