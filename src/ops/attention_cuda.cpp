// Attention on a GPU by ATen's own kernels, called through its dispatcher: this file needs neither
// CUDA's headers nor its libraries.
#include <ATen/ATen.h>

#include <algorithm>

#include "ops/attention.h"

namespace kvcomm::ops::cuda {

namespace {

// One sequence of a call, as a call of its own.
at::Tensor one_by_one(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                      at::Tensor (*attend)(const at::Tensor& q, const LayerKv& kv,
                                           int64_t lookahead)) {
  std::vector<at::Tensor> outs;
  for (int64_t i = 0; i < ranges.sequences(); ++i) {
    const auto s = static_cast<size_t>(i);
    const LayerKv own{kv.k.narrow(0, ranges.begins[s], ranges.rows[s]),
                      kv.v.narrow(0, ranges.begins[s], ranges.rows[s])};
    outs.push_back(
        attend(q.narrow(0, ranges.q_offsets[s], ranges.tokens(i)), own, ranges.lookahead[s]));
  }
  return at::cat(outs);
}

// FlashAttention takes the whole batch where it lies, with gaps between the sequences' ranges.
at::Tensor flash(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges) {
  int64_t most_tokens = 0;
  for (int64_t i = 0; i < ranges.sequences(); ++i)
    most_tokens = std::max(most_tokens, ranges.tokens(i));
  return std::get<0>(at::_flash_attention_forward(
      q, kv.k, kv.v, ranges.device_q_offsets, ranges.device_begins, most_tokens,
      *std::ranges::max_element(ranges.rows), /*dropout_p=*/0.0, /*is_causal=*/true,
      /*return_debug_mask=*/false, /*scale=*/std::nullopt, /*window_size_left=*/std::nullopt,
      /*window_size_right=*/std::nullopt, /*seqused_k=*/ranges.device_rows));
}

// The mask of a lookahead is a window that reaches so far to the right of the diagonal.
at::Tensor flash_ahead(const at::Tensor& q, const LayerKv& kv, int64_t lookahead) {
  const int64_t rows = kv.k.size(0);
  const int64_t right = std::min(lookahead, rows);
  return std::get<0>(at::_flash_attention_forward(
                         q.unsqueeze(0), kv.k.unsqueeze(0), kv.v.unsqueeze(0),
                         /*cum_seq_q=*/std::nullopt, /*cum_seq_k=*/std::nullopt, q.size(0), rows,
                         /*dropout_p=*/0.0, /*is_causal=*/false, /*return_debug_mask=*/false,
                         /*scale=*/std::nullopt, /*window_size_left=*/-1,
                         /*window_size_right=*/right))
      .squeeze(0);
}

// float32: FlashAttention has none. This kernel wants as many KV heads as query heads.
at::Tensor efficient(const at::Tensor& q, const LayerKv& kv, int64_t) {
  constexpr int64_t kCausalFromBottomRight = 2;
  const int64_t group = q.size(1) / kv.k.size(1);
  const auto spread = [&](const at::Tensor& x) {
    return x.repeat_interleave(group, 1).unsqueeze(0);
  };
  return std::get<0>(at::_efficient_attention_forward(
                         q.unsqueeze(0), spread(kv.k), spread(kv.v), /*bias=*/std::nullopt,
                         /*cu_seqlens_q=*/std::nullopt, /*cu_seqlens_k=*/std::nullopt,
                         /*max_seqlen_q=*/std::nullopt, /*max_seqlen_k=*/std::nullopt,
                         /*dropout_p=*/0.0, kCausalFromBottomRight))
      .squeeze(0);
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges) {
  const bool ahead =
      std::ranges::any_of(ranges.lookahead, [](int64_t lookahead) { return lookahead > 0; });
  const bool half = q.scalar_type() != at::kFloat;
  // FlashAttention's rows are of at most 256 and a multiple of 8.
  const bool fits = half && q.size(2) % 8 == 0 && q.size(2) <= 256;
  if (fits && !ahead) return flash(q, kv, ranges);
  if (fits) return one_by_one(q, kv, ranges, flash_ahead);
  if (!half && !ahead) return one_by_one(q, kv, ranges, efficient);
  return reference::attention(q, kv, ranges);
}

}  // namespace kvcomm::ops::cuda
