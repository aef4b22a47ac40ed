// Rotary positions, in the same pass that stores keys and values in the cache.
#pragma once

#include <ATen/core/Tensor.h>

namespace kvcomm::ops {

// Where a pass's keys and values go, and each token's angles. Contiguous; one type and device.
struct RotaryStore {
  at::Tensor cos, sin;      // [tokens, head_dim / 2]
  at::Tensor row_of_token;  // [tokens] int64, each below `rows`
  at::Tensor k, v;          // [rows, kv_heads, head_dim]
};

// qkv [tokens, heads + 2 kv_heads, head_dim] holds each token's queries, keys and values. Rotates
// the queries in place (heads = what is left beside k and v) and the keys into row
// row_of_token[token] of store.k, and copies the values into that row of store.v; the keys and
// values in qkv stay as they are. Half-split convention; each product is rounded to the type, then
// the sum. Fails (kInternal) where sizes, types or strides do not fit or a row does not exist.
void rotate_and_store(at::Tensor& qkv, const RotaryStore& store);

// The ways that the above chooses from; nothing is checked.
namespace cpu {
void rotate_and_store(at::Tensor& qkv, const RotaryStore& store);
}
namespace cuda {
void rotate_and_store(at::Tensor& qkv, const RotaryStore& store);
}
namespace reference {  // any device
void rotate_and_store(at::Tensor& qkv, const RotaryStore& store);
}

}  // namespace kvcomm::ops
