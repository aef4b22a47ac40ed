#include "ops/norm.h"

#include <ATen/ATen.h>

#include "ops/check.h"

namespace kvcomm::ops {

namespace {

void norm(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
          at::Tensor& out) {
  const auto type = h.scalar_type();
  require(h, h.sizes(), type, "The norm's input");
  if (delta.defined()) require(delta, h.sizes(), type, "What is added to the residual");
  require(weight, {h.size(-1)}, type, "The norm's weight");
  require(out, h.sizes(), type, "The norm's result");
  h.is_cpu() ? cpu::add_rms_norm(h, delta, weight, eps, out)
             : cuda::add_rms_norm(h, delta, weight, eps, out);
}

}  // namespace

void rms_norm_into(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor& out) {
  at::Tensor h = x;  // stays as it is: nothing is added
  norm(h, {}, weight, eps, out);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  at::Tensor out = at::empty_like(x);
  rms_norm_into(x, weight, eps, out);
  return out;
}

void add_rms_norm_into(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
                       at::Tensor& out) {
  norm(h, delta, weight, eps, out);
}

}  // namespace kvcomm::ops
