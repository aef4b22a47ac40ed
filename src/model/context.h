// What a model has read: keys and values of a packed batch of sequences, immutable once made.
// It is what a sender computes, what the wire carries and what a receiver attends to.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ops/attention.h"

namespace kvcomm {

// One layer of a context. It holds of each sequence what its offsets say: all tokens, the first,
// some that were selected, or nothing.
struct ContextLayer {
  LayerKv kv;
  std::vector<int64_t>
      offsets;  // [sequences + 1]: where each sequence's rows begin; empty: nothing

  int64_t rows(int sequence) const {
    const auto s = static_cast<size_t>(sequence);
    return offsets.empty() ? 0 : offsets[s + 1] - offsets[s];
  }
};

// Rows of layer tensors follow each other sequence by sequence without slack.
struct Context {
  std::vector<int64_t> tokens;       // of each sequence, as read
  std::vector<ContextLayer> layers;  // one a layer of the model
};

// One sequence of a context, as a request attends to it.
struct ContextView {
  std::shared_ptr<const Context> context;
  int sequence = 0;

  int64_t tokens() const { return context->tokens[static_cast<size_t>(sequence)]; }
  int64_t rows(int64_t layer) const {
    return context->layers[static_cast<size_t>(layer)].rows(sequence);
  }
  // [rows, kv_heads, head_dim] each; not present where there are none.
  LayerKv layer(int64_t index) const {
    const ContextLayer& all = context->layers[static_cast<size_t>(index)];
    const int64_t count = all.rows(sequence);
    if (count == 0) return {};
    const int64_t begin = all.offsets[static_cast<size_t>(sequence)];
    return {all.kv.k.narrow(0, begin, count), all.kv.v.narrow(0, begin, count)};
  }
};

// [0, lengths[0], lengths[0] + lengths[1], ...]
inline std::vector<int64_t> offsets_of(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> offsets{0};
  for (const int64_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

}  // namespace kvcomm
