#include <ATen/ATen.h>

#include <algorithm>

#include "base/clones.h"
#include "ops/bfloat16.h"
#include "ops/exponential.h"
#include "ops/parallel.h"
#include "ops/swiglu.h"

namespace kvcomm::ops::cpu {

namespace {

// target_clones does not go with templates.
#define KVC_SWIGLU(T)                                                           \
  KVC_CLONES void swiglu_token(const T* gate, const T* up, int64_t n, T* out) { \
    for (int64_t i = 0; i < n; ++i) {                                           \
      const float x = widen(gate[i]);                                           \
      const float silu = rounded<T>(x / (1.0F + exponential(-x)));              \
      out[i] = narrow<T>(rounded<T>(silu * widen(up[i])));                      \
    }                                                                           \
  }
KVC_SWIGLU(float)
KVC_SWIGLU(c10::BFloat16)
#undef KVC_SWIGLU

template <typename T>
void swiglu_all(const at::Tensor& gate_up, at::Tensor& out) {
  const int64_t n = out.size(1);
  const T* const from = gate_up.const_data_ptr<T>();
  T* const to = out.mutable_data_ptr<T>();
  for_parts(out.size(0), n, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      swiglu_token(from + 2 * t * n, from + (2 * t + 1) * n, n, to + t * n);
    }
  });
}

}  // namespace

void swiglu(const at::Tensor& gate_up, at::Tensor& out) {
  if (out.scalar_type() == at::kFloat) {
    swiglu_all<float>(gate_up, out);
  } else {
    swiglu_all<c10::BFloat16>(gate_up, out);
  }
}

}  // namespace kvcomm::ops::cpu
