// What the operations ask of their tensors.
#pragma once

#include <ATen/core/Tensor.h>

namespace kvcomm::ops {

// Fails (kInternal) unless t is contiguous, of these sizes, and of the model's type (float32 or
// bfloat16).
void require(const at::Tensor& t, at::IntArrayRef sizes, at::ScalarType model, const char* name);

}  // namespace kvcomm::ops
