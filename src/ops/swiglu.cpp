#include "ops/swiglu.h"

#include <ATen/ATen.h>

#include "ops/check.h"

namespace kvcomm::ops {

void swiglu_into(const at::Tensor& gate_up, at::Tensor& out) {
  const auto type = gate_up.scalar_type();
  require(out, {gate_up.size(0), gate_up.size(-1) / 2}, type, "The result of swiglu");
  require(gate_up, {out.size(0), 2 * out.size(1)}, type, "swiglu's input");
  gate_up.is_cpu() ? cpu::swiglu(gate_up, out) : cuda::swiglu(gate_up, out);
}

}  // namespace kvcomm::ops
