#include <ATen/ATen.h>

#include "ops/linear.h"

namespace kvcomm::ops::reference {

void linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
            at::Tensor& out) {
  at::linear_out(out, x, weight, bias);
}

}  // namespace kvcomm::ops::reference
