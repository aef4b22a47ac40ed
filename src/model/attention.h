// Attention over segments: contexts that are seen whole, and the sequence's own tokens, causally.
// Each segment is attended to where it lies; the parts are merged by their log-sum-exps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "model/context.h"

namespace kvcomm {

// What attention of some tokens to one segment gives.
struct Partial {
  at::Tensor out;  // [tokens, heads, head_dim]
  at::Tensor lse;  // [tokens, heads] float32: log of the sum of the exponentiated scores
};

enum class Mask { kNone, kCausal };  // causal: query i sees rows 0..i

// q [tokens, heads, head_dim]; kv [rows, kv_heads, head_dim], heads a multiple of kv_heads. Query
// heads that share a KV head are folded together, so that K and V are read once. Scale
// 1/sqrt(head_dim).
Partial attend(const at::Tensor& q, const LayerKv& kv, Mask mask);

// The same by plain products and softmax: slow, for any device, and the tests' oracle.
Partial attend_plainly(const at::Tensor& q, const LayerKv& kv, Mask mask);

struct Merged {
  at::Tensor out;            // [tokens, heads, head_dim]
  at::Tensor context_share;  // [tokens, heads] float32: attention weight that went to the contexts
};

// softmax over all segments together, from their parts. own comes last.
Merged merge(std::span<const Partial> contexts, const Partial& own);

}  // namespace kvcomm
