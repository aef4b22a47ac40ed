#include <ATen/ATen.h>

#include "ops/rotary.h"

namespace kvcomm::ops::reference {

void rotate_and_store(at::Tensor& qkv, const RotaryStore& store) {
  const int64_t kv_heads = store.k.size(1), heads = qkv.size(1) - 2 * kv_heads;
  const int64_t half = qkv.size(2) / 2;
  const at::Tensor x = qkv.narrow(1, 0, heads + kv_heads);
  const at::Tensor first = x.narrow(2, 0, half), second = x.narrow(2, half, half);
  const at::Tensor cos = store.cos.unsqueeze(1), sin = store.sin.unsqueeze(1);
  const at::Tensor rotated =
      at::cat({first * cos - second * sin, second * cos + first * sin}, /*dim=*/2);
  qkv.narrow(1, 0, heads).copy_(rotated.narrow(1, 0, heads));
  at::Tensor k = store.k, v = store.v;
  k.index_copy_(0, store.row_of_token, rotated.narrow(1, heads, kv_heads));
  v.index_copy_(0, store.row_of_token, qkv.narrow(1, heads + kv_heads, kv_heads));
}

}  // namespace kvcomm::ops::reference
