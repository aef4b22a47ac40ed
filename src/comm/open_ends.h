// The ends of a lane's pipes, by the transport's name: the one place that knows all transports.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/faults.h"
#include "comm/nccl_link.h"
#include "comm/receive_end.h"
#include "comm/send_end.h"

namespace kvcomm {

struct PipeRequest {
  std::string transport;                 // "loopback", "mpi", "nccl"
  bool sends = false, receives = false;  // both: a lane of one process
  int peer = 0;                          // the other end's rank in the lane's communicator
  EndOptions end;
  double bytes_per_s = 0;    // payload leaves no faster; 0: as fast as it goes
  Faults* faults = nullptr;  // what is to go wrong on it; they outlive its ends
  // The lane's, which all its pipes share once it is there.
  std::shared_ptr<NcclLink> link = nullptr;
};

// This process's ends; the link outlives them.
struct PipeEnds {
  std::shared_ptr<NcclLink> link;
  std::unique_ptr<SendEnd> sender;
  std::unique_ptr<ReceiveEnd> receiver;
};

// Collective over the lane where a link is to be made: by each rank's first pipe. The lane may be
// null where this process is both ends of a loopback. Fails (kEnvironment) where the transport
// cannot be had.
PipeEnds open_ends(const PipeRequest& request, Communicator* lane);

// A pipe beside such a one, from its receiver back to its sender, for small messages: it goes over
// MPI whatever the transport, so that it never waits in a GPU's queue behind payload. `sends` and
// `receives` are those of this pipe.
PipeEnds open_return_ends(const PipeRequest& request, Communicator* lane);

}  // namespace kvcomm
