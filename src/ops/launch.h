// How a launch of ops/kernels.h is made for a tensor.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace kvcomm::ops::cuda {

// Calls launch(bfloat16, stream) on the tensor's GPU and its current stream, and checks the code
// that it returns.
template <typename Launch>
void on_gpu_of(const at::Tensor& tensor, const Launch& launch) {
  const c10::cuda::CUDAGuard guard(tensor.device());
  const auto stream = c10::cuda::getCurrentCUDAStream(tensor.device().index());
  C10_CUDA_CHECK(
      static_cast<cudaError_t>(launch(tensor.scalar_type() == at::kBFloat16, stream.stream())));
}

}  // namespace kvcomm::ops::cuda
