#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/attention.h"

namespace kvcomm::ops {

namespace {

constexpr float kHidden = -std::numeric_limits<float>::infinity();

// What belongs to one sequence of a call.
struct One {
  at::Tensor q;     // [tokens, heads, head_dim]
  at::Tensor k, v;  // [rows, kv_heads, head_dim]
};

One part_of(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges, int64_t sequence) {
  const auto s = static_cast<size_t>(sequence);
  return {q.narrow(0, ranges.q_offsets[s], ranges.tokens(sequence)),
          kv.k.narrow(0, ranges.begins[s], ranges.rows[s]),
          kv.v.narrow(0, ranges.begins[s], ranges.rows[s])};
}

// [rows, kv_heads, head_dim] -> [kv_heads, 1, rows, head_dim] float32
at::Tensor by_kv_head(const at::Tensor& x) {
  return x.permute({1, 0, 2}).unsqueeze(1).to(at::kFloat);
}

// [kv_heads, group, tokens, rows] float32, scaled: a KV head's query heads are its group.
at::Tensor scores_of(const One& one) {
  const int64_t kv_heads = one.k.size(1), tokens = one.q.size(0), head_dim = one.q.size(2);
  const at::Tensor queries = one.q.reshape({tokens, kv_heads, one.q.size(1) / kv_heads, head_dim})
                                 .permute({1, 2, 0, 3})
                                 .to(at::kFloat);
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  return at::matmul(queries, by_kv_head(one.k).transpose(2, 3)) * scale;
}

// [tokens, rows] bool, true where a query does not see a row: query t sees 0 .. t + ahead.
at::Tensor hidden_rows(const One& one, int64_t ahead) {
  return at::ones({one.q.size(0), one.k.size(0)}, one.q.options().dtype(at::kBool)).triu(1 + ahead);
}

// [tokens, heads]. ahead: as for hidden_rows().
at::Tensor share_of(const One& one, int64_t ahead, int64_t received, const ShareRule& rule) {
  at::Tensor scores = scores_of(one);
  const at::Tensor hidden = hidden_rows(one, ahead);
  if (rule.visible_plus_one) {
    scores += hidden.logical_not();
  } else {
    scores.masked_fill_(hidden, kHidden);
  }
  const int64_t from = std::min(rule.from, received);
  const at::Tensor share = at::softmax(scores, -1).narrow(-1, from, received - from).sum(-1);
  return share.permute({2, 0, 1}).reshape({one.q.size(0), one.q.size(1)});
}

}  // namespace

at::Tensor reference::attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges) {
  std::vector<at::Tensor> outs;
  for (int64_t s = 0; s < ranges.sequences(); ++s) {
    const One one = part_of(q, kv, ranges, s);
    const int64_t before = one.k.size(0) - one.q.size(0);
    const at::Tensor scores = scores_of(one).masked_fill_(
        hidden_rows(one, before + ranges.lookahead[static_cast<size_t>(s)]), kHidden);
    const at::Tensor out = at::matmul(at::softmax(scores, -1), by_kv_head(one.v));
    outs.push_back(out.permute({2, 0, 1, 3}).reshape(one.q.sizes()).to(q.scalar_type()));
  }
  return at::cat(outs);
}

at::Tensor received_share(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                          const std::vector<int64_t>& received, const ShareRule& rule) {
  constexpr int64_t kScores =
      int64_t{1} << 22;  // at a time, so that memory does not grow with a prompt's square
  std::vector<at::Tensor> shares;
  for (int64_t s = 0; s < ranges.sequences(); ++s) {
    const One all = part_of(q, kv, ranges, s);
    const int64_t tokens = all.q.size(0), rows = all.k.size(0);
    const int64_t step = std::max<int64_t>(1, kScores / (q.size(1) * std::max<int64_t>(rows, 1)));
    for (int64_t begin = 0; begin < tokens; begin += step) {
      const One some{all.q.narrow(0, begin, std::min(step, tokens - begin)), all.k, all.v};
      shares.push_back(
          share_of(some, /*ahead=*/rows - tokens + begin, received[static_cast<size_t>(s)], rule));
    }
  }
  return at::cat(shares);
}

}  // namespace kvcomm::ops
