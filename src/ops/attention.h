// Attention of packed queries, each sequence's to one range of rows: one call a layer, for prefill
// and for decoding alike. Scale 1/sqrt(head_dim); query heads share KV heads in groups.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace kvcomm {

// Keys and values, rotary positions applied, token-major and contiguous.
struct LayerKv {
  at::Tensor k;  // [rows, kv_heads, head_dim]; undefined: nothing
  at::Tensor v;  // [rows, kv_heads, head_dim]

  bool present() const { return k.defined(); }
};

namespace ops {

// Which rows of a layer each sequence's queries see. Of a sequence with `tokens` queries and a
// range of `rows`, query t sees the range's rows 0 .. rows - tokens + t + lookahead: all that came
// before and itself (bottom-right causal), and so many more.
struct Ranges {
  std::vector<int64_t> q_offsets = {0};  // [sequences + 1]: where each one's queries begin
  std::vector<int64_t> begins, rows;     // [sequences]
  std::vector<int64_t> lookahead;        // [sequences]

  // The same on a GPU, for the kernels: int32. Not defined on the CPU.
  at::Tensor device_q_offsets;  // [sequences + 1]
  at::Tensor device_begins;     // [sequences + 1], of which the last is not read
  at::Tensor device_rows;       // [sequences]

  int64_t sequences() const { return static_cast<int64_t>(rows.size()); }
  int64_t tokens(int64_t sequence) const {
    const auto s = static_cast<size_t>(sequence);
    return q_offsets[s + 1] - q_offsets[s];
  }
  void add(int64_t tokens, int64_t begin, int64_t range_rows, int64_t ahead) {
    q_offsets.push_back(q_offsets.back() + tokens);
    begins.push_back(begin);
    rows.push_back(range_rows);
    lookahead.push_back(ahead);
  }
};

// q [tokens, heads, head_dim], a token's heads contiguous -> [tokens, heads, head_dim], contiguous,
// in `memory` where that is given and the device's kernels can use it. A sequence's result does not
// depend on the others of the call, up to the last bits of the device's kernels.
at::Tensor attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                     const at::Tensor& memory = {});

// What counts as attention to the rows that a sequence received.
struct ShareRule {
  int64_t from = 0;  // the first of them that counts
  // The release's mask (official_behaviour.md, 1): visible scores get +1, and nothing is hidden.
  bool visible_plus_one = false;
};

// The share of its attention that each query gives to the first received[s] rows of its sequence's
// range: [tokens, heads] float32. By plain products: for calibration.
at::Tensor received_share(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                          const std::vector<int64_t>& received, const ShareRule& rule);

// The ways that attention() chooses from.
namespace cpu {
at::Tensor attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                     const at::Tensor& memory);
// Of the given sequences, which have one query each: their rows of out [tokens, heads, head_dim].
void attention_of_one(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                      const std::vector<int64_t>& sequences, at::Tensor& out);
}  // namespace cpu
namespace cuda {
at::Tensor attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges);
}
namespace reference {  // any device, by plain products and softmax in float32
at::Tensor attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges);
}

}  // namespace ops
}  // namespace kvcomm
