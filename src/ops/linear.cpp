#include "ops/linear.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace kvcomm::ops {

Linear::Linear(at::Tensor weight, at::Tensor bias)
    : weight_(std::move(weight)), bias_(std::move(bias)) {
  const bool bias_fits =
      !bias_.defined() || (bias_.dim() == 1 && bias_.size(0) == weight_.size(0) &&
                           bias_.scalar_type() == weight_.scalar_type() && bias_.is_contiguous());
  const auto type = weight_.scalar_type();
  if (weight_.dim() != 2 || !weight_.is_contiguous() || !bias_fits ||
      (type != at::kFloat && type != at::kBFloat16)) {
    fail(Exit::kInternal,
         "A matrix of weights must be [out, in], contiguous, float32 or bfloat16, and its bias "
         "[out] "
         "and alike; these are {} of {}.",
         c10::str(weight_.sizes()), c10::toString(type));
  }
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (!x.is_cpu()) return at::linear(x, weight_, bias_);
  at::Tensor out = at::empty({x.size(0), weight_.size(0)}, x.options());
  into(x, out);
  return out;
}

void Linear::into(const at::Tensor& x, at::Tensor& out) const {
  const auto rows_of = [this](const at::Tensor& t, int64_t width) {
    return t.dim() == 2 && t.size(1) == width && t.scalar_type() == weight_.scalar_type() &&
           (t.stride(1) == 1 || width == 1);
  };
  if (!rows_of(x, weight_.size(1)) || !rows_of(out, weight_.size(0)) || x.size(0) != out.size(0)) {
    fail(
        Exit::kInternal,
        "The product of {} with weights {} does not fit into {}: sizes and types must agree, and a "
        "row's elements lie side by side.",
        c10::str(x.sizes()), c10::str(weight_.sizes()), c10::str(out.sizes()));
  }
  if (x.size(0) == 0) return;
  x.is_cpu() ? cpu::linear(x, weight_, bias_, out) : reference::linear(x, weight_, bias_, out);
}

}  // namespace kvcomm::ops
