#include <ATen/ATen.h>

#include "ops/norm.h"

namespace kvcomm::ops::reference {

void add_rms_norm(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
                  at::Tensor& out) {
  if (delta.defined()) h.add_(delta);
  const at::Tensor wide = h.to(at::kFloat);
  const at::Tensor scale = wide.pow(2).mean(-1, /*keepdim=*/true).add_(eps).rsqrt_();
  at::mul_out(out, (wide * scale).to(h.scalar_type()), weight);
}

}  // namespace kvcomm::ops::reference
