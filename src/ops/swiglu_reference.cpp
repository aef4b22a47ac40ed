#include <ATen/ATen.h>

#include "ops/swiglu.h"

namespace kvcomm::ops::reference {

void swiglu(const at::Tensor& gate_up, at::Tensor& out) {
  const int64_t n = out.size(1);
  at::mul_out(out, at::silu(gate_up.narrow(1, 0, n)), gate_up.narrow(1, n, n));
}

}  // namespace kvcomm::ops::reference
