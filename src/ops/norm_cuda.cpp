#include "ops/kernels.h"
#include "ops/launch.h"
#include "ops/norm.h"

namespace kvcomm::ops::cuda {

void add_rms_norm(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
                  at::Tensor& out) {
  if (h.numel() == 0) return;
  const int64_t hidden = weight.size(0);
  on_gpu_of(h, [&](bool bfloat16, CUstream_st* stream) {
    // Without a delta h is only read.
    return kernels::launch_add_rms_norm(bfloat16, const_cast<void*>(h.const_data_ptr()),
                                        delta.defined() ? delta.const_data_ptr() : nullptr,
                                        weight.const_data_ptr(), h.numel() / hidden, hidden,
                                        static_cast<float>(eps), out.mutable_data_ptr(), stream);
  });
}

}  // namespace kvcomm::ops::cuda
