#include "model/kv_cache.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace kvcomm {

KvCache::KvCache(const ModelConfig& config, std::span<const int64_t> capacity,
                 at::TensorOptions options)
    : capacity_(capacity.begin(), capacity.end()), lengths_(capacity.size(), 0) {
  int64_t rows = 0;
  for (const int64_t tokens : capacity_) {
    begins_.push_back(rows);
    rows += tokens;
  }
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    layers_.push_back({at::empty({rows, config.kv_heads, config.head_dim}, options),
                       at::empty({rows, config.kv_heads, config.head_dim}, options)});
  }
}

at::Tensor KvCache::rows_for(std::span<const int> sequences,
                             std::span<const int64_t> tokens) const {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto s = static_cast<size_t>(sequences[i]);
    if (lengths_[s] + tokens[i] > capacity_[s]) {
      fail(Exit::kInternal,
           "Sequence {} of the cache has room for {} tokens, {} are there and {} come.", s,
           capacity_[s], lengths_[s], tokens[i]);
    }
    for (int64_t t = 0; t < tokens[i]; ++t) rows.push_back(begins_[s] + lengths_[s] + t);
  }
  return at::tensor(rows, at::kLong).to(layers_.front().k.device());
}

void KvCache::append(int64_t layer, const LayerKv& kv, const at::Tensor& row_of_token) {
  const LayerKv& own = layers_[static_cast<size_t>(layer)];
  own.k.index_copy_(0, row_of_token, kv.k);
  own.v.index_copy_(0, row_of_token, kv.v);
}

void KvCache::advance(std::span<const int> sequences, std::span<const int64_t> tokens) {
  for (size_t i = 0; i < sequences.size(); ++i) {
    lengths_[static_cast<size_t>(sequences[i])] += tokens[i];
  }
}

LayerKv KvCache::own(int64_t layer, int sequence, int64_t length) const {
  const int64_t begin = begins_[static_cast<size_t>(sequence)];
  const LayerKv& whole = layers_[static_cast<size_t>(layer)];
  return {whole.k.narrow(0, begin, length), whole.v.narrow(0, begin, length)};
}

}  // namespace kvcomm
