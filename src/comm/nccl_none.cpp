// A build without NCCL.
#include "base/error.h"
#include "comm/nccl_link.h"

namespace kvcomm {

std::unique_ptr<NcclLink> connect_nccl(Communicator&, at::Device, Seconds) {
  fail(Exit::kEnvironment,
       "This build has no NCCL: set run.transport to \"mpi\" (or \"auto\"), or build with the "
       "preset 'cuda' on a machine with CUDA and NCCL.");
}

std::string gpu_name_to_nccl(at::Device device) { return device.str(); }

std::string nccl_version() { return ""; }

}  // namespace kvcomm
