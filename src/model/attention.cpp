#include "model/attention.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

namespace kvcomm {

namespace {

// [rows, kv_heads, head_dim] -> [kv_heads, 1, rows, head_dim], no copy
at::Tensor by_kv_head(const at::Tensor& x) { return x.permute({1, 0, 2}).unsqueeze(1); }

}  // namespace

Partial attend_plainly(const at::Tensor& q, const LayerKv& kv, Mask mask) {
  const int64_t tokens = q.size(0), heads = q.size(1), head_dim = q.size(2);
  const int64_t kv_heads = kv.k.size(1), group = heads / kv_heads;
  // [kv_heads, group, tokens, head_dim]
  const at::Tensor queries = q.view({tokens, kv_heads, group, head_dim}).permute({1, 2, 0, 3});
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  at::Tensor scores =
      at::matmul(queries.to(at::kFloat), by_kv_head(kv.k).to(at::kFloat).transpose(2, 3)) * scale;
  if (mask == Mask::kCausal) {
    const at::Tensor hidden =
        at::ones({tokens, kv.k.size(0)}, scores.options().dtype(at::kBool)).triu(1);
    scores.masked_fill_(hidden, -std::numeric_limits<float>::infinity());
  }
  const at::Tensor lse = at::logsumexp(scores, -1);  // [kv_heads, group, tokens]
  const at::Tensor weights = (scores - lse.unsqueeze(-1)).exp();
  const at::Tensor out = at::matmul(weights, by_kv_head(kv.v).to(at::kFloat));
  return {out.permute({2, 0, 1, 3}).reshape({tokens, heads, head_dim}).to(q.scalar_type()),
          lse.permute({2, 0, 1}).reshape({tokens, heads})};
}

Partial attend(const at::Tensor& q, const LayerKv& kv, Mask mask) {
  if (!q.is_cpu()) return attend_plainly(q, kv, mask);
  const int64_t tokens = q.size(0), heads = q.size(1), head_dim = q.size(2);
  const int64_t kv_heads = kv.k.size(1), group = heads / kv_heads;
  // [kv_heads, group, tokens, head_dim]: a KV head is a batch entry, its query heads are its heads
  at::Tensor queries = q.view({tokens, kv_heads, group, head_dim}).permute({1, 2, 0, 3});
  at::Tensor k = by_kv_head(kv.k), v = by_kv_head(kv.v);
  const bool fold = mask == Mask::kNone || tokens == 1;  // without a mask, rows need no order
  if (fold) {
    queries = queries.reshape({kv_heads, 1, group * tokens, head_dim});
  } else {
    k = k.expand({kv_heads, group, k.size(2), head_dim});  // stride 0: nothing is copied
    v = v.expand({kv_heads, group, v.size(2), head_dim});
  }
  auto [out, lse] =
      at::_scaled_dot_product_flash_attention_for_cpu(queries, k, v, /*dropout_p=*/0.0,
                                                      /*is_causal=*/!fold);
  return {out.reshape({kv_heads, group, tokens, head_dim})
              .permute({2, 0, 1, 3})
              .reshape({tokens, heads, head_dim}),
          lse.reshape({kv_heads, group, tokens}).permute({2, 0, 1}).reshape({tokens, heads})};
}

Merged merge(std::span<const Partial> contexts, const Partial& own) {
  at::Tensor contexts_lse = contexts.front().lse;
  for (const Partial& part : contexts.subspan(1))
    contexts_lse = at::logaddexp(contexts_lse, part.lse);
  const at::Tensor total = at::logaddexp(contexts_lse, own.lse);
  at::Tensor out = own.out.to(at::kFloat) * (own.lse - total).exp().unsqueeze(-1);
  for (const Partial& part : contexts) {
    out = out + part.out.to(at::kFloat) * (part.lse - total).exp().unsqueeze(-1);
  }
  return {out.to(own.out.scalar_type()), (contexts_lse - total).exp()};
}

}  // namespace kvcomm
