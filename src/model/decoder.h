// The decoder of the Llama and Qwen2 families over packed sequences: x is [tokens, hidden], the
// sequences' tokens one after another, no padding and no batch dimension.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/attention.h"
#include "model/config.h"
#include "model/context.h"
#include "model/kv_cache.h"
#include "model/rotary.h"
#include "model/weights.h"

namespace kvcomm {

// The position of a sequence's own token 0. The two differ in KVComm-S only.
struct OwnStart {
  int64_t with_context = 0;     // in layers that have a whole context
  int64_t without_context = 0;  // in all others
};

// A change of a sequence's activations at the input of one layer, at prefill.
struct Edit {
  int64_t layer = 0;
  std::function<void(at::Tensor& x)>
      apply;  // [tokens, hidden]: changes the sequence's rows in place
};

// Called while a pass runs, layer by layer.
struct Observer {
  // The layer's keys and values of the pass's tokens, just computed.
  std::function<void(int64_t layer, const LayerKv&)> after_layer;
  // [tokens, heads] float32: the share of attention that went to the contexts; zeros where there is
  // none. At prefill.
  std::function<void(int64_t layer, const at::Tensor&)> context_share;
  ShareRule share_rule;
};

// One sequence of a pass.
struct Sequence {
  int64_t tokens = 0;  // that it brings to this pass
  int slot = 0;        // its place in the cache
  OwnStart start;
  std::span<const Past> past;  // contexts it attends to, in order
  // At prefill, in layers without a whole context, own token i sees own tokens 0 .. i + lookahead.
  int64_t lookahead = 0;
  const Edit* edit = nullptr;
};

// A forward pass of a packed batch. Without a cache its own keys and values are not kept.
// With one: either all sequences are new (prefill) or each brings one token (a decoding step).
struct Pass {
  std::vector<Sequence> sequences;
  KvCache* cache = nullptr;
  const Observer* observer = nullptr;
};

struct LayerRange {
  int64_t from, to;  // [from, to)
};

class Decoder {
 public:
  // Loads and checks the weights. Fails (kEnvironment) as WeightFiles does.
  Decoder(const std::filesystem::path& folder, at::ScalarType dtype, at::Device device,
          OtherHead other_head = OtherHead::kUsed);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  const ModelConfig& config() const { return config_; }
  at::TensorOptions options() const;  // dtype and device of weights and activations

  const at::Tensor& embeddings() const { return embed_tokens_; }  // [vocab, hidden]
  at::Tensor embed(std::span<const int64_t> ids) const;           // -> [tokens, hidden]
  // Runs x [tokens, hidden] through a range of layers.
  at::Tensor layers(at::Tensor x, LayerRange range, const Pass& pass) const;
  at::Tensor logits(const at::Tensor& x) const;  // [n, hidden] -> [n, vocab]

 private:
  struct Layer;
  ModelConfig config_;
  at::Tensor embed_tokens_, norm_, lm_head_;
  std::vector<Layer> layers_;
  Rotary rotary_;
};

}  // namespace kvcomm
