#include "ops/rotary.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "ops/check.h"

namespace kvcomm::ops {

void rotate_and_store(at::Tensor& qkv, const RotaryStore& store) {
  const auto type = qkv.scalar_type();
  const int64_t tokens = qkv.size(0), head_dim = qkv.size(-1), kv_heads = store.k.size(1);
  require(qkv, {tokens, qkv.size(1), head_dim}, type, "The projection qkv");
  require(store.cos, {tokens, head_dim / 2}, type, "The angles' cosine");
  require(store.sin, {tokens, head_dim / 2}, type, "The angles' sine");
  require(store.k, {store.k.size(0), kv_heads, head_dim}, type, "The cache of keys");
  require(store.v, store.k.sizes(), type, "The cache of values");
  if (store.row_of_token.scalar_type() != at::kLong || store.row_of_token.numel() != tokens ||
      !store.row_of_token.is_contiguous() || qkv.size(1) <= 2 * kv_heads || head_dim % 2 != 0) {
    fail(Exit::kInternal,
         "Rotary positions need an even head_dim, queries beside keys and values, and a row of the "
         "cache (int64) for each token; qkv is {} with {} KV heads and {} rows.",
         c10::str(qkv.sizes()), kv_heads, store.row_of_token.numel());
  }
  qkv.is_cpu() ? cpu::rotate_and_store(qkv, store) : cuda::rotate_and_store(qkv, store);
}

}  // namespace kvcomm::ops
