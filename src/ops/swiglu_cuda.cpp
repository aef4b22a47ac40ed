#include "ops/kernels.h"
#include "ops/launch.h"
#include "ops/swiglu.h"

namespace kvcomm::ops::cuda {

void swiglu(const at::Tensor& gate_up, at::Tensor& out) {
  if (out.numel() == 0) return;
  on_gpu_of(out, [&](bool bfloat16, CUstream_st* stream) {
    return kernels::launch_swiglu(bfloat16, gate_up.const_data_ptr(), out.size(0), out.size(1),
                                  out.mutable_data_ptr(), stream);
  });
}

}  // namespace kvcomm::ops::cuda
