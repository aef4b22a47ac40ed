#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "comm/checksum.h"
#include "comm/checksum_kernel.h"

namespace kvcomm {

at::Tensor wire_sums_on_device(const at::Tensor& tensor, const std::vector<int64_t>& offsets) {
  const c10::cuda::CUDAGuard guard(tensor.device());
  const auto samples = std::ssize(offsets) - 1;
  at::Tensor sums = at::zeros({samples}, tensor.options().dtype(at::kLong));
  const auto stream = c10::cuda::getCurrentCUDAStream(tensor.device().index());
  C10_CUDA_CHECK(static_cast<cudaError_t>(launch_wire_sums(
      tensor.const_data_ptr(), offsets.data(), samples,
      reinterpret_cast<uint64_t*>(sums.mutable_data_ptr<int64_t>()), stream.stream())));
  return sums;
}

}  // namespace kvcomm
