// The decoder of the Llama and Qwen2 families over packed sequences: x is [tokens, hidden], the
// sequences' tokens one after another, no padding and no batch dimension.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "model/config.h"
#include "model/flops.h"
#include "model/kv_cache.h"
#include "model/rotary.h"
#include "model/step.h"
#include "model/weights.h"
#include "ops/linear.h"

namespace kvcomm {

struct LayerRange {
  int64_t from, to;  // [from, to)
};

class Decoder {
 public:
  // Loads and checks the weights. Fails (kEnvironment) as WeightFiles does.
  // pass_tokens: the most tokens that a prefill puts into one pass, which bounds its memory.
  Decoder(const std::filesystem::path& folder, at::ScalarType dtype, at::Device device,
          OtherHead other_head = OtherHead::kUsed,
          int64_t pass_tokens = std::numeric_limits<int64_t>::max());
  // With a config's weights from elsewhere.
  Decoder(ModelConfig config, const Weights& weights, at::TensorOptions options,
          OtherHead other_head = OtherHead::kUsed,
          int64_t pass_tokens = std::numeric_limits<int64_t>::max());
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  const ModelConfig& config() const { return config_; }
  at::TensorOptions options() const;  // dtype and device of weights and activations
  int64_t pass_tokens() const { return pass_tokens_; }

  const at::Tensor& embeddings() const { return embed_tokens_; }  // [vocab, hidden]
  at::Tensor embed(std::span<const int64_t> ids) const;           // -> [tokens, hidden]
  // A pass over the cache's slots, to be taken through all its layers.
  Step step(const KvCache& cache, std::vector<Part> parts, Step::Phase phase) const;
  // Makes a decoding step that was taken the next one of the same sequences, in the same memory.
  void advance(Step& step, const KvCache& cache) const;
  // Runs x [tokens, hidden], which is used up, through a range of layers, whose keys and values go
  // into the cache.
  at::Tensor layers(at::Tensor x, LayerRange range, Step& step, KvCache& cache,
                    const Observer& observer = {}) const;
  at::Tensor logits(const at::Tensor& x) const;  // [n, hidden] -> [n, vocab]

  // Of all that it has run so far, whoever asked for it.
  const Flops& ran() const { return ran_; }
  void count(const Flops& more) const { ran_ += more; }  // of products with its tables elsewhere

 private:
  struct Layer;
  ModelConfig config_;
  int64_t pass_tokens_;
  at::Tensor embed_tokens_, norm_;
  ops::Linear lm_head_;
  std::vector<Layer> layers_;
  Rotary rotary_;
  mutable Flops ran_;  // an account, which no answer depends on
};

}  // namespace kvcomm
