// A batch's own keys and values: as many tokens in every layer, each sequence in a span of fixed
// capacity.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/context.h"

namespace kvcomm {

class KvCache {
 public:
  // capacity: the most tokens that each sequence will ever hold.
  KvCache(const ModelConfig& config, std::span<const int64_t> capacity, at::TensorOptions options);

  int64_t length(int sequence) const { return lengths_[static_cast<size_t>(sequence)]; }

  // Stores a pass's keys and values [tokens, kv_heads, head_dim] of one layer behind the sequences'
  // tokens: sequences[i] brings tokens[i] of them. advance() makes them count, after the last
  // layer.
  void append(int64_t layer, const LayerKv& kv, const at::Tensor& row_of_token);
  void advance(std::span<const int> sequences, std::span<const int64_t> tokens);

  // Where the pass's tokens go: [tokens] int64 rows of the layers' tensors, the same in every
  // layer.
  at::Tensor rows_for(std::span<const int> sequences, std::span<const int64_t> tokens) const;

  // The first `length` tokens of one sequence: [length, kv_heads, head_dim] each.
  LayerKv own(int64_t layer, int sequence, int64_t length) const;

 private:
  std::vector<int64_t> begins_;
  std::vector<int64_t> capacity_;
  std::vector<int64_t> lengths_;
  std::vector<LayerKv> layers_;  // [sum of capacity, kv_heads, head_dim]
};

}  // namespace kvcomm
