#include <ATen/ATen.h>

#include <algorithm>
#include <bit>

#include "base/clones.h"
#include "ops/bfloat16.h"
#include "ops/parallel.h"
#include "ops/swiglu.h"

namespace kvcomm::ops::cpu {

namespace {

// e^x within 2 ulp, without branches: 2^n e^r with x = n ln 2 + r and |r| <= ln 2 / 2; ln 2 has two
// parts, the first short, so that n ln 2 is exact. Infinite from 88.4 on, where x / e^x is below
// 4e-37 anyway; at least e^-87, which is nothing beside 1. NaN stays NaN.
inline float exponential(float x) {
  x = x > 89.0F ? 89.0F : x;
  x = x < -87.0F ? -87.0F : x;
  constexpr float kRounder =
      12582912.0F;  // 1.5 * 2^23: adding it leaves no digits behind the point
  const float shifted = x * 1.44269504F + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  float sum = 1.0F / 5040;
  sum = sum * r + 1.0F / 720;
  sum = sum * r + 1.0F / 120;
  sum = sum * r + 1.0F / 24;
  sum = sum * r + 1.0F / 6;
  sum = sum * r + 0.5F;
  sum = sum * r * r + r + 1.0F;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127U) << 23;
  return sum * std::bit_cast<float>(exponent);
}

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
