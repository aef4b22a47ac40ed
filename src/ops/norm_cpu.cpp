#include <ATen/ATen.h>

#include <cmath>

#include "base/clones.h"
#include "ops/bfloat16.h"
#include "ops/norm.h"
#include "ops/parallel.h"

namespace kvcomm::ops::cpu {

namespace {

// The compiler keeps a sum's order, so a vector of sums is written out.
constexpr int64_t kLanes = 16;

struct Sums {
  float lane[kLanes] = {};
};

float total(const Sums& sums) {
  float total = 0;
  for (const float lane : sums.lane) total += lane;
  return total;
}

// One token; target_clones does not go with templates. delta may be null.
#define KVC_NORM(T)                                                                             \
  KVC_CLONES void norm_token(T* h, const T* delta, const T* weight, int64_t hidden, float eps,  \
                             T* out) {                                                          \
    for (int64_t i = 0; delta != nullptr && i < hidden; ++i) {                                  \
      h[i] = narrow<T>(rounded<T>(widen(h[i]) + widen(delta[i])));                              \
    }                                                                                           \
    Sums sums;                                                                                  \
    const int64_t whole = hidden / kLanes * kLanes;                                             \
    for (int64_t i = 0; i < whole; i += kLanes) {                                               \
      for (int64_t l = 0; l < kLanes; ++l) sums.lane[l] += widen(h[i + l]) * widen(h[i + l]);   \
    }                                                                                           \
    for (int64_t i = whole; i < hidden; ++i) sums.lane[i - whole] += widen(h[i]) * widen(h[i]); \
    const float scale = 1.0F / std::sqrt(total(sums) / static_cast<float>(hidden) + eps);       \
    for (int64_t i = 0; i < hidden; ++i) {                                                      \
      out[i] = narrow<T>(rounded<T>(rounded<T>(widen(h[i]) * scale) * widen(weight[i])));       \
    }                                                                                           \
  }
KVC_NORM(float)
KVC_NORM(c10::BFloat16)
#undef KVC_NORM

template <typename T>
void norm_all(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
              at::Tensor& out) {
  const int64_t hidden = weight.size(0);
  // Without a delta h is only read.
  T* const x = const_cast<T*>(h.const_data_ptr<T>());
  const T* const added = delta.defined() ? delta.const_data_ptr<T>() : nullptr;
  const T* const weights = weight.const_data_ptr<T>();
  T* const results = out.mutable_data_ptr<T>();
  for_parts(h.numel() / hidden, hidden, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin * hidden; at < end * hidden; at += hidden) {
      norm_token(x + at, added == nullptr ? nullptr : added + at, weights, hidden,
                 static_cast<float>(eps), results + at);
    }
  });
}

}  // namespace

void add_rms_norm(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
                  at::Tensor& out) {
  if (h.scalar_type() == at::kFloat) {
    norm_all<float>(h, delta, weight, eps, out);
  } else {
    norm_all<c10::BFloat16>(h, delta, weight, eps, out);
  }
}

}  // namespace kvcomm::ops::cpu
