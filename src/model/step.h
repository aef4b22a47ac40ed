// A forward pass of a packed batch: all that the layers need to know beside the activations, built
// once on the host, put on the device once, read by every layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "model/kv_cache.h"
#include "model/rotary.h"
#include "ops/attention.h"

namespace kvcomm {

// A change of a sequence's activations at the input of one layer, at prefill. Such a sequence is
// never cut into several passes.
struct Edit {
  int64_t layer = 0;
  bool last_row_alone = true;  // then what comes before it may be read with other prompts
  std::function<void(at::Tensor& x)>
      apply;  // [tokens, hidden]: changes the sequence's rows in place
};

// The tokens that one sequence brings to a pass.
struct Part {
  int slot = 0;  // of the cache
  int64_t tokens = 0;
  const Edit* edit = nullptr;
  int64_t later = 0;  // of the same prompt, in passes that follow
};

// What layers compute one after the other, in the same memory.
struct Activations {
  // [tokens, width]; attended is undefined where attention makes its own, as on a GPU.
  at::Tensor normed, qkv, attended, gate_up, gated, delta;
};

struct Step {
  enum class Phase : uint8_t { kPrefill, kDecode };

  // For the layers of one kind (KvCache).
  struct Kind {
    at::Tensor cache_rows;  // [tokens] int64: where the tokens' keys and values go
    at::Tensor positions;   // [tokens, 1] float32; the kind before may have the same
    Angles angles;          // of the positions
    ops::Ranges ranges;
  };

  Phase phase;
  std::vector<Part> parts;
  std::vector<Kind> kinds;  // in the cache's order
  Activations memory;

  int64_t tokens() const {
    int64_t sum = 0;
    for (const Part& part : parts) sum += part.tokens;
    return sum;
  }
};

// Without memory for activations. Both fail (kInternal) where a slot has no room for its tokens.
Step make_step(const KvCache& cache, std::vector<Part> parts, Step::Phase phase,
               const Rotary& rotary, at::Device device);
// Makes a decoding step the next one of the same sequences, in the same memory.
void advance(Step& step, const KvCache& cache, const Rotary& rotary);

// Called while a pass runs, layer by layer.
struct Observer {
  // The layer's keys and values of all slots, the pass's tokens included.
  std::function<void(int64_t layer, const LayerKv&)> on_kv;
  // [tokens, heads] float32: the share of each token's attention that went to what its sequence
  // received; zeros where that is nothing. At prefill.
  std::function<void(int64_t layer, const Step&, const at::Tensor&)> received_share;
  ops::ShareRule share_rule;
};

}  // namespace kvcomm
