// Attention on the CPU. A sequence's single query, as in decoding, goes through a kernel of our own
// that reads keys and values once for a whole group of heads; many queries go through libtorch's.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/clones.h"
#include "ops/attention.h"
#include "ops/bfloat16.h"
#include "ops/parallel.h"

namespace kvcomm::ops::cpu {

namespace {

// ---- one query

constexpr int64_t kRows = 4;  // that are read together

// n elements as float32: where they lie, or in `to`.
inline const float* widened(const float* from, float*, int64_t) { return from; }
inline const float* widened(const c10::BFloat16* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = ops::widen(from[i]);
  return to;
}

struct Shape {
  int64_t rows, stride, group, head_dim;  // stride: elements from one row to the next
};

// kRows rows from `row` on; behind the last one, it again.
template <typename T>
struct Rows {
  Rows(const T* first, const Shape& s, int64_t row, float* wide) {
    for (int64_t r = 0; r < kRows; ++r) {
      at[r] = widened(first + std::min(row + r, s.rows - 1) * s.stride, wide + r * s.head_dim,
                      s.head_dim);
    }
  }
  const float* at[kRows];
};

// scores[g][row] = q[g] . k[row] of one KV head, and out[g] += weights[g][row] v[row].
#define KVC_PRODUCTS(T)                                                                     \
  KVC_CLONES void add_scores(const T* k, const Shape& s, const float* q, float* scores,     \
                             float* wide) {                                                 \
    for (int64_t row = 0; row < s.rows; row += kRows) {                                     \
      const Rows<T> rows(k, s, row, wide);                                                  \
      for (int64_t g = 0; g < s.group; ++g) {                                               \
        const float* query = q + g * s.head_dim;                                            \
        float sums[kRows] = {};                                                             \
        for (int64_t d = 0; d < s.head_dim; ++d) {                                          \
          for (int64_t r = 0; r < kRows; ++r) sums[r] += query[d] * rows.at[r][d];          \
        }                                                                                   \
        const int64_t n = std::min(kRows, s.rows - row);                                    \
        for (int64_t r = 0; r < n; ++r) scores[g * s.rows + row + r] = sums[r];             \
      }                                                                                     \
    }                                                                                       \
  }                                                                                         \
  KVC_CLONES void add_values(const T* v, const Shape& s, const float* weights, float* out,  \
                             float* wide) {                                                 \
    for (int64_t row = 0; row < s.rows; row += kRows) {                                     \
      const Rows<T> rows(v, s, row, wide);                                                  \
      const int64_t n = std::min(kRows, s.rows - row);                                      \
      for (int64_t g = 0; g < s.group; ++g) {                                               \
        const float* w = weights + g * s.rows + row;                                        \
        float* __restrict sums = out + g * s.head_dim;                                      \
        if (n == kRows) {                                                                   \
          for (int64_t d = 0; d < s.head_dim; ++d) {                                        \
            sums[d] += w[0] * rows.at[0][d] + w[1] * rows.at[1][d] + w[2] * rows.at[2][d] + \
                       w[3] * rows.at[3][d];                                                \
          }                                                                                 \
        } else {                                                                            \
          for (int64_t r = 0; r < n; ++r) {                                                 \
            for (int64_t d = 0; d < s.head_dim; ++d) sums[d] += w[r] * rows.at[r][d];       \
          }                                                                                 \
        }                                                                                   \
      }                                                                                     \
    }                                                                                       \
  }
// target_clones does not go with templates.
KVC_PRODUCTS(float)
KVC_PRODUCTS(c10::BFloat16)
#undef KVC_PRODUCTS

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

// One KV head: group query heads of q and out.
template <typename T>
void attend_head(const T* q, const T* k, const T* v, const Shape& shape, T* out) {
  const int64_t width = shape.group * shape.head_dim;
  thread_local std::vector<float> buffer;  // grows once: a step in decoding allocates nothing
  buffer.resize(
      static_cast<size_t>(2 * width + kRows * shape.head_dim + shape.group * (shape.rows + 1)));
  float* queries = buffer.data();
  float* sums = queries + width;
  float* wide = sums + width;
  float* totals = wide + kRows * shape.head_dim;
  float* scores = totals + shape.group;

  const float scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  for (int64_t i = 0; i < width; ++i) queries[i] = scale * ops::widen(q[i]);
  add_scores(k, shape, queries, scores, wide);
  for (int64_t g = 0; g < shape.group; ++g) {
    totals[g] = exponentials(scores + g * shape.rows, shape.rows);
  }
  std::fill(sums, sums + width, 0.0F);
  add_values(v, shape, scores, sums, wide);
  for (int64_t i = 0; i < width; ++i) out[i] = static_cast<T>(sums[i] / totals[i / shape.head_dim]);
}

// The given sequences, of one query each.
template <typename T>
void attend_single(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                   const std::vector<int64_t>& sequences, at::Tensor& out) {
  const int64_t heads = q.size(1), head_dim = q.size(2), kv_heads = kv.k.size(1);
  const int64_t group = heads / kv_heads, stride = kv_heads * head_dim;
  const T *queries = q.const_data_ptr<T>(), *k = kv.k.const_data_ptr<T>(),
          *v = kv.v.const_data_ptr<T>();
  T* outs = out.mutable_data_ptr<T>();
  const auto all = static_cast<int64_t>(sequences.size()) * kv_heads;
  int64_t rows = 0;
  for (const int64_t s : sequences) rows += ranges.rows[static_cast<size_t>(s)];
  const int64_t products = rows * kv_heads * group * head_dim / all;
  for_parts(all, products, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto s = static_cast<size_t>(sequences[static_cast<size_t>(i / kv_heads)]);
      const int64_t kv_head = i % kv_heads, token = ranges.q_offsets[s];
      const int64_t row = ranges.begins[s] * stride + kv_head * head_dim;
      attend_head(queries + token * q.stride(0) + kv_head * group * head_dim, k + row, v + row,
                  {.rows = ranges.rows[s], .stride = stride, .group = group, .head_dim = head_dim},
                  outs + (token * heads + kv_head * group) * head_dim);
    }
  });
}

// ---- many queries

// What attention of some tokens to a part of their range gives.
struct Partial {
  at::Tensor out;  // [tokens, heads, head_dim]
  at::Tensor lse;  // [tokens, heads] float32: log of the sum of the exponentiated scores
};

// [rows, kv_heads, head_dim] -> [kv_heads, 1, rows, head_dim], no copy
at::Tensor by_kv_head(const at::Tensor& x) { return x.permute({1, 0, 2}).unsqueeze(1); }

// q [tokens, heads, head_dim]; k, v [rows, kv_heads, head_dim]. ahead: query t sees rows 0 .. t +
// ahead; nullopt: all.
Partial attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
               std::optional<int64_t> ahead) {
  const int64_t tokens = q.size(0), heads = q.size(1), head_dim = q.size(2), rows = k.size(0);
  const int64_t kv_heads = k.size(1), group = heads / kv_heads;
  // A KV head is a batch entry, its query heads are the entry's heads.
  at::Tensor queries = q.view({tokens, kv_heads, group, head_dim}).permute({1, 2, 0, 3});
  at::Tensor keys = by_kv_head(k), values = by_kv_head(v);
  std::optional<at::Tensor> mask;
  const bool fold = !ahead || *ahead >= rows - 1;
  if (fold) {  // without a mask, rows need no order: K and V are read once for the whole group
    queries = queries.reshape({kv_heads, 1, group * tokens, head_dim});
  } else {
    keys = keys.expand({kv_heads, group, rows, head_dim});  // stride 0: nothing is copied
    values = values.expand({kv_heads, group, rows, head_dim});
    if (*ahead > 0) {
      mask = at::zeros({tokens, rows}, q.options());
      mask->masked_fill_(at::ones({tokens, rows}, q.options().dtype(at::kBool)).triu(1 + *ahead),
                         -std::numeric_limits<float>::infinity());
    }
  }
  auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
      queries, keys, values, /*dropout_p=*/0.0, /*is_causal=*/!fold && !mask, mask);
  return {out.reshape({kv_heads, group, tokens, head_dim})
              .permute({2, 0, 1, 3})
              .reshape({tokens, heads, head_dim}),
          lse.reshape({kv_heads, group, tokens}).permute({2, 0, 1}).reshape({tokens, heads})};
}

// softmax over both parts together.
at::Tensor merge(const Partial& a, const Partial& b) {
  const at::Tensor total = at::logaddexp(a.lse, b.lse);
  const auto weighted = [&](const Partial& part) {
    return part.out.to(at::kFloat) * (part.lse - total).exp().unsqueeze(-1);
  };
  return (weighted(a) + weighted(b)).to(a.out.scalar_type());
}

// A lookahead takes a mask of its own: some queries at a time, so that it does not grow with the
// square of a prompt.
Partial attend_ahead(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     int64_t lookahead) {
  constexpr int64_t kQueries = 512;
  const int64_t tokens = q.size(0);
  if (lookahead == 0 || tokens <= kQueries) return attend(q, k, v, lookahead);
  std::vector<at::Tensor> outs, lses;
  for (int64_t begin = 0; begin < tokens; begin += kQueries) {
    const int64_t count = std::min(kQueries, tokens - begin);
    const Partial some = attend(q.narrow(0, begin, count), k, v, begin + lookahead);
    outs.push_back(some.out);
    lses.push_back(some.lse);
  }
  return {at::cat(outs), at::cat(lses)};
}

// libtorch's causal mask is aligned top-left: what came before is a part of its own, without one.
at::Tensor attend_range(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        int64_t lookahead) {
  const int64_t tokens = q.size(0), before = k.size(0) - tokens;
  const Partial own =
      attend_ahead(q, k.narrow(0, before, tokens), v.narrow(0, before, tokens), lookahead);
  if (before == 0) return own.out;
  return merge(attend(q, k.narrow(0, 0, before), v.narrow(0, 0, before), std::nullopt), own);
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges) {
  at::Tensor out = at::empty(q.sizes(), q.options());
  std::vector<int64_t> single;
  for (int64_t i = 0; i < ranges.sequences(); ++i) {
    const auto s = static_cast<size_t>(i);
    const int64_t begin = ranges.q_offsets[s], tokens = ranges.tokens(i);
    if (tokens == 1) {
      single.push_back(i);
    } else {
      out.narrow(0, begin, tokens)
          .copy_(attend_range(
              q.narrow(0, begin, tokens), kv.k.narrow(0, ranges.begins[s], ranges.rows[s]),
              kv.v.narrow(0, ranges.begins[s], ranges.rows[s]), ranges.lookahead[s]));
    }
  }
  if (single.empty()) return out;
  if (q.scalar_type() == at::kFloat) {
    attend_single<float>(q, kv, ranges, single, out);
  } else {
    attend_single<c10::BFloat16>(q, kv, ranges, single, out);
  }
  return out;
}

}  // namespace kvcomm::ops::cpu
