#include "model/decode_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

// Compiled for several instruction sets; the loader takes the best that the processor has.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define KVC_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KVC_CLONES
#endif

namespace kvcomm {

namespace {

// bfloat16 is the upper half of a float32.
inline void widen(const c10::BFloat16* from, float* to, int64_t n) {
  const auto* bits = reinterpret_cast<const uint16_t*>(from);
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t wide = static_cast<uint32_t>(bits[i]) << 16;
    std::memcpy(&to[i], &wide, sizeof wide);
  }
}
inline void widen(const float* from, float* to, int64_t n) { std::copy(from, from + n, to); }

struct Shape {
  int64_t rows, stride, group, head_dim;  // stride: elements from one row to the next
};

// scores[g][row] = q[g] . k[row] of one KV head; scores of a query head lie `all_rows` apart.
#define KVC_SCORES(T)                                                                            \
  KVC_CLONES void add_scores(const T* k, const Shape& s, const float* q, float* scores,          \
                             int64_t all_rows, float* wide) {                                    \
    for (int64_t row = 0; row < s.rows; ++row) {                                                 \
      widen(k + row * s.stride, wide, s.head_dim);                                               \
      for (int64_t g = 0; g < s.group; ++g) {                                                    \
        float sum = 0;                                                                           \
        for (int64_t d = 0; d < s.head_dim; ++d) sum += q[g * s.head_dim + d] * wide[d];         \
        scores[g * all_rows + row] = sum;                                                        \
      }                                                                                          \
    }                                                                                            \
  }                                                                                              \
  KVC_CLONES void add_values(const T* v, const Shape& s, const float* weights, int64_t all_rows, \
                             float* out, float* wide) {                                          \
    for (int64_t row = 0; row < s.rows; ++row) {                                                 \
      widen(v + row * s.stride, wide, s.head_dim);                                               \
      for (int64_t g = 0; g < s.group; ++g) {                                                    \
        const float weight = weights[g * all_rows + row];                                        \
        for (int64_t d = 0; d < s.head_dim; ++d) out[g * s.head_dim + d] += weight * wide[d];    \
      }                                                                                          \
    }                                                                                            \
  }
// target_clones does not go with templates.
KVC_SCORES(float)
KVC_SCORES(c10::BFloat16)
#undef KVC_SCORES

// In place; returns the sum of the exponentials.
KVC_CLONES float exponentials(float* scores, int64_t n) {
  float largest = scores[0];
  for (int64_t i = 1; i < n; ++i) largest = std::max(largest, scores[i]);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    scores[i] = std::exp(scores[i] - largest);
    sum += scores[i];
  }
  return sum;
}

// One sequence and one KV head: group query heads of q and out.
template <typename T>
void attend_head(const T* q, const std::vector<LayerKv>& segments, int64_t kv_head, Shape shape,
                 T* out) {
  int64_t all_rows = 0;
  for (const LayerKv& segment : segments) all_rows += segment.k.size(0);
  const int64_t width = shape.group * shape.head_dim;
  std::vector<float> buffer(
      static_cast<size_t>(2 * width + shape.head_dim + shape.group * all_rows), 0.0F);
  float* queries = buffer.data();
  float* sums = queries + width;
  float* wide = sums + width;
  float* scores = wide + shape.head_dim;

  widen(q, queries, width);
  const float scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  for (int64_t i = 0; i < width; ++i) queries[i] *= scale;
  int64_t first = 0;
  for (const LayerKv& segment : segments) {
    shape.rows = segment.k.size(0);
    add_scores(segment.k.const_data_ptr<T>() + kv_head * shape.head_dim, shape, queries,
               scores + first, all_rows, wide);
    first += shape.rows;
  }
  std::vector<float> totals;
  for (int64_t g = 0; g < shape.group; ++g)
    totals.push_back(exponentials(scores + g * all_rows, all_rows));
  first = 0;
  for (const LayerKv& segment : segments) {
    shape.rows = segment.v.size(0);
    add_values(segment.v.const_data_ptr<T>() + kv_head * shape.head_dim, shape, scores + first,
               all_rows, sums, wide);
    first += shape.rows;
  }
  for (int64_t i = 0; i < width; ++i) {
    out[i] = static_cast<T>(sums[i] / totals[static_cast<size_t>(i / shape.head_dim)]);
  }
}

template <typename T>
void attend_all(const at::Tensor& q, const Segments& segments, at::Tensor& out) {
  const int64_t heads = q.size(1), head_dim = q.size(2);
  const int64_t kv_heads = segments.front().front().k.size(1);
  const Shape shape{
      .rows = 0, .stride = kv_heads * head_dim, .group = heads / kv_heads, .head_dim = head_dim};
  const T* queries = q.const_data_ptr<T>();
  T* outs = out.mutable_data_ptr<T>();
  at::parallel_for(0, q.size(0) * kv_heads, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t sequence = i / kv_heads, kv_head = i % kv_heads;
      const int64_t at = (sequence * heads + kv_head * shape.group) * head_dim;
      attend_head(queries + at, segments[static_cast<size_t>(sequence)], kv_head, shape, outs + at);
    }
  });
}

}  // namespace

at::Tensor decode_attention(const at::Tensor& q, const Segments& segments) {
  const at::Tensor queries = q.contiguous();
  at::Tensor out = at::empty_like(queries);
  if (q.scalar_type() == at::kFloat) {
    attend_all<float>(queries, segments, out);
  } else {
    attend_all<c10::BFloat16>(queries, segments, out);
  }
  return out;
}

}  // namespace kvcomm
