#include "ops/kernels.h"
#include "ops/launch.h"
#include "ops/rotary.h"

namespace kvcomm::ops::cuda {

void rotate_and_store(at::Tensor& qkv, const RotaryStore& store) {
  const int64_t tokens = qkv.size(0), kv_heads = store.k.size(1);
  if (tokens == 0) return;
  on_gpu_of(qkv, [&](bool bfloat16, CUstream_st* stream) {
    return kernels::launch_rotate_and_store(
        bfloat16, qkv.mutable_data_ptr(), store.cos.const_data_ptr(), store.sin.const_data_ptr(),
        store.row_of_token.const_data_ptr<int64_t>(), store.k.mutable_data_ptr(),
        store.v.mutable_data_ptr(), tokens, qkv.size(1) - 2 * kv_heads, kv_heads, qkv.size(2) / 2,
        stream);
  });
}

}  // namespace kvcomm::ops::cuda
