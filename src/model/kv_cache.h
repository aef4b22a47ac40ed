// The keys and values that a batch attends to. A sequence has a slot of fixed capacity in every
// layer, with one range of rows: [received | own]. How many were received differs by layer, so that
// layers come in kinds; position is never a row's index.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/context.h"

namespace kvcomm {

// How a sequence's own tokens stand in a layer.
struct OwnTokens {
  int64_t start = 0;  // the position of own token 0
  // At prefill own token i sees own tokens 0 .. i + lookahead, as far as there are.
  int64_t lookahead = 0;

  bool operator==(const OwnTokens&) const = default;
};

// What a slot is for.
struct SlotPlan {
  int64_t capacity = 0;                    // the most own tokens that it will ever hold
  std::span<const ContextView> past = {};  // what was received, in order
  std::span<const OwnTokens> own = {};     // one a layer; empty: position 0, no lookahead
};

// What layers of one kind have in common, for each slot.
struct LayerKind {
  std::vector<int64_t> begins;    // the first row of its range
  std::vector<int64_t> received;  // rows in front of its own
  std::vector<OwnTokens> own;

  bool operator==(const LayerKind&) const = default;
};

class KvCache {
 public:
  // For the model's first `layers` layers, of which those below `from` hold nothing. Copies what
  // was received into place.
  KvCache(const ModelConfig& config, int64_t layers, std::span<const SlotPlan> slots,
          at::TensorOptions options, int64_t from = 0);

  int64_t layers() const { return static_cast<int64_t>(layers_.size()); }
  const std::vector<LayerKind>& kinds() const { return kinds_; }
  size_t kind_of(int64_t layer) const { return kind_of_[static_cast<size_t>(layer)]; }

  // A slot's own tokens so far; advance() makes those of a pass count, after its last layer.
  int64_t length(int slot) const { return lengths_[static_cast<size_t>(slot)]; }
  int64_t capacity(int slot) const { return capacity_[static_cast<size_t>(slot)]; }
  void advance(int slot, int64_t tokens) { lengths_[static_cast<size_t>(slot)] += tokens; }

  // Keys and values of all slots in one layer, written row by row: [rows, kv_heads, head_dim].
  const LayerKv& layer(int64_t index) const { return layers_[static_cast<size_t>(index)]; }

  // Everything that full slots hold, as what was read: no copy.
  Context context() const;

 private:
  void copy_received(int64_t layer, std::span<const SlotPlan> slots);

  int64_t from_;
  std::vector<int64_t> capacity_, lengths_;
  std::vector<LayerKind> kinds_;
  std::vector<size_t> kind_of_;
  std::vector<LayerKv> layers_;
};

}  // namespace kvcomm
