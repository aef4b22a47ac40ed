// What a model has read: keys and values of a packed batch of sequences, immutable once made.
// It is what a sender computes, what the wire carries and what a receiver attends to.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace kvcomm {

// One layer's keys and values, rotary positions applied, token-major and contiguous.
struct LayerKv {
  at::Tensor k;  // [rows, kv_heads, head_dim]; undefined: this layer was not shared
  at::Tensor v;  // [rows, kv_heads, head_dim]

  bool present() const { return k.defined(); }
};

// Rows of layer tensors follow each other sequence by sequence without slack.
struct Context {
  std::vector<int64_t> rows;    // tokens of each sequence
  std::vector<LayerKv> layers;  // one a layer of the model

  int64_t first_row(int sequence) const {
    int64_t sum = 0;
    for (int i = 0; i < sequence; ++i) sum += rows[static_cast<size_t>(i)];
    return sum;
  }
};

// One sequence of a context, as a request attends to it.
struct Past {
  std::shared_ptr<const Context> context;
  int sequence = 0;

  int64_t rows() const { return context->rows[static_cast<size_t>(sequence)]; }
  // [rows, kv_heads, head_dim] each; not present where the layer was not shared.
  LayerKv layer(int64_t index) const {
    const LayerKv& whole = context->layers[static_cast<size_t>(index)];
    if (!whole.present()) return {};
    const int64_t first = context->first_row(sequence);
    return {whole.k.narrow(0, first, rows()), whole.v.narrow(0, first, rows())};
  }
};

}  // namespace kvcomm
