// Attention on the CPU. A sequence's single query, as in decoding, goes through kernels of our own
// (attention_one_cpu.cpp); many queries go through libtorch's.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "ops/attention.h"

namespace kvcomm::ops::cpu {

namespace {

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

at::Tensor attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                     const at::Tensor& memory) {
  at::Tensor out = memory.defined() ? memory : at::empty(q.sizes(), q.options());
  thread_local std::vector<int64_t> single;
  single.clear();
  for (int64_t i = 0; i < ranges.sequences(); ++i) {
    const auto s = static_cast<size_t>(i);
    const int64_t begin = ranges.q_offsets[s], tokens = ranges.tokens(i);
    if (tokens == 1) {
      single.push_back(i);
    } else if (tokens > 1) {  // libtorch's kernel divides by zero where there is none
      out.narrow(0, begin, tokens)
          .copy_(attend_range(
              q.narrow(0, begin, tokens), kv.k.narrow(0, ranges.begins[s], ranges.rows[s]),
              kv.v.narrow(0, ranges.begins[s], ranges.rows[s]), ranges.lookahead[s]));
    }
  }
  if (!single.empty()) attention_of_one(q, kv, ranges, single, out);
  return out;
}

}  // namespace kvcomm::ops::cpu
