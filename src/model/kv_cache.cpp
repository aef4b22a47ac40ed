#include "model/kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "model/memory.h"

namespace kvcomm {

namespace {

LayerKind kind_of_layer(int64_t layer, std::span<const SlotPlan> slots) {
  LayerKind kind;
  int64_t row = 0;
  for (const SlotPlan& slot : slots) {
    int64_t received = 0;
    for (const ContextView& past : slot.past) received += past.rows(layer);
    kind.begins.push_back(row);
    kind.received.push_back(received);
    kind.own.push_back(slot.own.empty() ? OwnTokens{} : slot.own[static_cast<size_t>(layer)]);
    row += received + slot.capacity;
  }
  return kind;
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, int64_t layers, std::span<const SlotPlan> slots,
                 at::TensorOptions options, int64_t from)
    : from_(from), lengths_(slots.size(), 0) {
  const MemoryScope scope(MemoryUse::kKv);
  for (const SlotPlan& slot : slots) capacity_.push_back(slot.capacity);
  for (int64_t layer = 0; layer < layers; ++layer) {
    const LayerKind kind = kind_of_layer(layer, slots);
    const auto known = std::ranges::find(kinds_, kind);
    kind_of_.push_back(static_cast<size_t>(known - kinds_.begin()));
    if (known == kinds_.end()) kinds_.push_back(kind);
    const int64_t rows = slots.empty() || layer < from
                             ? 0
                             : kind.begins.back() + kind.received.back() + capacity_.back();
    const auto empty = [&] { return at::empty({rows, config.kv_heads, config.head_dim}, options); };
    layers_.push_back({empty(), empty()});
    if (layer >= from) copy_received(layer, slots);
  }
}

void KvCache::copy_received(int64_t layer, std::span<const SlotPlan> slots) {
  const LayerKv& all = this->layer(layer);
  std::vector<at::Tensor> from, to;
  for (size_t slot = 0; slot < slots.size(); ++slot) {
    int64_t row = kinds_[kind_of(layer)].begins[slot];
    for (const ContextView& past : slots[slot].past) {
      const LayerKv received = past.layer(layer);
      if (!received.present()) continue;
      const int64_t rows = received.k.size(0);
      from.insert(from.end(), {received.k, received.v});
      to.insert(to.end(), {all.k.narrow(0, row, rows), all.v.narrow(0, row, rows)});
      row += rows;
    }
  }
  if (!from.empty()) at::_foreach_copy_(to, from);  // on a GPU few launches, not two a slot
}

Context KvCache::context() const {
  Context context;
  for (int64_t layer = 0; layer < layers(); ++layer) {
    const LayerKind& kind = kinds_[kind_of(layer)];
    std::vector<int64_t> rows;
    for (size_t slot = 0; slot < lengths_.size(); ++slot) {
      if (lengths_[slot] != capacity_[slot]) {
        fail(Exit::kInternal, "Slot {} holds {} of its {} tokens, so it has not been read.", slot,
             lengths_[slot], capacity_[slot]);
      }
      rows.push_back(kind.received[slot] + lengths_[slot]);
    }
    if (layer == 0) context.tokens = rows;
    context.layers.push_back(layer < from_ ? ContextLayer{}
                                           : ContextLayer{this->layer(layer), offsets_of(rows)});
  }
  return context;
}

}  // namespace kvcomm
