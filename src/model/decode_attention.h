// Attention of one token a sequence to all that it may see, on the CPU: a decoding step's kernel.
// It reads contexts and the sequence's own tokens where they lie, so a step costs one call a layer
// instead of one for each sequence and segment (with 8 sequences that is a fifth of a small model's
// step).
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "model/context.h"

namespace kvcomm {

// What each sequence sees, segment by segment: [sequences][segments], of [rows, kv_heads, head_dim]
// each.
using Segments = std::vector<std::vector<LayerKv>>;

// q [sequences, heads, head_dim] -> [sequences, heads, head_dim]. float32 or bfloat16, computed in
// float32; a sequence's result depends on it alone.
at::Tensor decode_attention(const at::Tensor& q, const Segments& segments);

}  // namespace kvcomm
