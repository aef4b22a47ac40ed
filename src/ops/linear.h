// Products with a model's weight matrices: y = x W^T + bias.
#pragma once

#include <ATen/core/Tensor.h>

namespace kvcomm::ops {

// weight [out, in] and bias [out] (or undefined) are contiguous, float32 or bfloat16, and held, not
// copied. Sums are float32, rounded once.
//
// On the CPU each row's result is bitwise the same however many rows x has, except for bfloat16 on
// processors that multiply bfloat16 themselves: there products of many rows are libtorch's.
class Linear {
 public:
  Linear() = default;
  explicit Linear(at::Tensor weight, at::Tensor bias = {});

  const at::Tensor& weight() const { return weight_; }

  at::Tensor operator()(const at::Tensor& x) const;  // [n, in] -> [n, out]
  // The same into out [n, out]. The elements of a row of x and of out lie side by side; rows may
  // lie apart. Fails (kInternal) where shapes, types or strides do not fit.
  void into(const at::Tensor& x, at::Tensor& out) const;

 private:
  at::Tensor weight_, bias_;
};

// The ways that the above chooses from; nothing is checked.
namespace cpu {
void linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, at::Tensor& out);
}
namespace reference {  // any device
void linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, at::Tensor& out);
}

}  // namespace kvcomm::ops
