#include <ATen/ATen.h>

#include <algorithm>

#include "base/clones.h"
#include "base/error.h"
#include "ops/bfloat16.h"
#include "ops/parallel.h"
#include "ops/rotary.h"

namespace kvcomm::ops::cpu {

namespace {

// `to` may be `x`. target_clones does not go with templates.
#define KVC_ROTATE(T)                                                                            \
  KVC_CLONES void rotate_head(const T* x, const T* cos, const T* sin, int64_t half, T* to) {     \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < half; ++i) {                                    \
      const float a = widen(x[i]), b = widen(x[half + i]), c = widen(cos[i]), s = widen(sin[i]); \
      to[i] = narrow<T>(rounded<T>(rounded<T>(a * c) - rounded<T>(b * s)));                      \
      to[half + i] = narrow<T>(rounded<T>(rounded<T>(b * c) + rounded<T>(a * s)));               \
    }                                                                                            \
  }
KVC_ROTATE(float)
KVC_ROTATE(c10::BFloat16)
#undef KVC_ROTATE

template <typename T>
void rotate_all(at::Tensor& qkv, const RotaryStore& store) {
  const int64_t head_dim = qkv.size(2), kv_heads = store.k.size(1), kv = kv_heads * head_dim;
  const int64_t q = qkv.size(1) * head_dim - 2 * kv, half = head_dim / 2;
  T* const x = qkv.mutable_data_ptr<T>();
  T* const k = store.k.mutable_data_ptr<T>();
  T* const v = store.v.mutable_data_ptr<T>();
  const T* const cos = store.cos.const_data_ptr<T>();
  const T* const sin = store.sin.const_data_ptr<T>();
  const int64_t* const rows = store.row_of_token.const_data_ptr<int64_t>();
  for_parts(qkv.size(0), q + 2 * kv, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      T* const token = x + t * (q + 2 * kv);
      const auto rotate = [&](const T* from, int64_t width, T* to) {
        for (int64_t i = 0; i < width; i += head_dim) {
          rotate_head(from + i, cos + t * half, sin + t * half, half, to + i);
        }
      };
      rotate(token, q, token);
      rotate(token + q, kv, k + rows[t] * kv);
      std::copy_n(token + q + kv, kv, v + rows[t] * kv);
    }
  });
}

}  // namespace

void rotate_and_store(at::Tensor& qkv, const RotaryStore& store) {
  const int64_t* const rows = store.row_of_token.const_data_ptr<int64_t>();
  const auto missing = std::find_if(rows, rows + qkv.size(0),
                                    [&](int64_t row) { return row < 0 || row >= store.k.size(0); });
  if (missing != rows + qkv.size(0)) {
    fail(Exit::kInternal, "Row {} of the cache does not exist: it has {}.", *missing,
         store.k.size(0));
  }
  if (qkv.scalar_type() == at::kFloat) {
    rotate_all<float>(qkv, store);
  } else {
    rotate_all<c10::BFloat16>(qkv, store);
  }
}

}  // namespace kvcomm::ops::cpu
