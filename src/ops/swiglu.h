// The gate of the feed-forward block: silu(gate) * up.
#pragma once

#include <ATen/core/Tensor.h>

namespace kvcomm::ops {

// gate_up [tokens, 2 intermediate], the gates first -> [tokens, intermediate]. silu(gate) is
// computed in float32 and rounded, then multiplied by up and rounded again. Contiguous float32 or
// bfloat16; fails (kInternal) otherwise.
void swiglu_into(const at::Tensor& gate_up, at::Tensor& out);

// The ways that the above choose from; nothing is checked.
namespace cpu {
void swiglu(const at::Tensor& gate_up, at::Tensor& out);
}
namespace cuda {
void swiglu(const at::Tensor& gate_up, at::Tensor& out);
}
namespace reference {  // any device
void swiglu(const at::Tensor& gate_up, at::Tensor& out);
}

}  // namespace kvcomm::ops
