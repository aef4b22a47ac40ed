// A build for the CPU.
#include "base/error.h"
#include "doctor/gpus.h"

namespace kvcomm::doctor {

std::optional<CudaVersions> cuda_versions() { return std::nullopt; }

std::vector<Gpu> visible_gpus() { return {}; }

PeerCopy copy_between(int, int, size_t) {
  fail(Exit::kInternal, "A build for the CPU copies nothing between GPUs.");
}

}  // namespace kvcomm::doctor
