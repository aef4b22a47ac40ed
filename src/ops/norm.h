// RMS norm, alone or behind a residual sum.
#pragma once

#include <ATen/core/Tensor.h>

namespace kvcomm::ops {

// All tensors float32 or bfloat16, one type and device, contiguous: x, h, delta and out [tokens,
// hidden], weight [hidden]. Fails (kInternal) where they are not.

// out = rms_norm(x) * weight with Hugging Face's roundings: x / rms(x) is computed in float32 and
// rounded, then multiplied by the weight and rounded again. out may be x.
void rms_norm_into(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor& out);
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

// h += delta, rounded, and out = rms_norm(h) * weight, in one pass.
void add_rms_norm_into(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
                       at::Tensor& out);

// The ways that the above choose from; nothing is checked. Without a delta (undefined) h stays.
namespace cpu {
void add_rms_norm(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
                  at::Tensor& out);
}
namespace cuda {
void add_rms_norm(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
                  at::Tensor& out);
}
namespace reference {  // any device
void add_rms_norm(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
                  at::Tensor& out);
}

}  // namespace kvcomm::ops
