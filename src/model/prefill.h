// Reading prompts: a packed prefill in passes of bounded size. What generate.h's functions share.
#pragma once

#include <span>
#include <vector>

#include "model/generate.h"
#include "model/kv_cache.h"

namespace kvcomm {

// Fails (kInternal) where a request has no prompt.
void require_prompts(std::span<const Request> requests);

// The embeddings of all prompts, packed: [tokens, hidden].
at::Tensor embed_prompts(const Decoder& model, std::span<const Request> requests);

// Some rows of x [rows, hidden].
at::Tensor rows_of(const at::Tensor& x, const std::vector<int64_t>& rows);

// What one slot reads.
struct SlotReading {
  int64_t tokens = 0;
  const Edit* edit = nullptr;
  bool in_one_pass = false;
};

// in_one_pass: of all, however long; otherwise of those that ask for it.
std::vector<SlotReading> readings_of(std::span<const Request> requests, bool in_one_pass = false);

// The requests as they are read: heads as what was received, in front of the rest.
std::vector<Request> behind_heads(const Decoder& model, std::span<const Request> requests,
                                  PrefixCache* prefixes);

// A cache of a model's first layers that holds these prompts, and room for as many tokens more
// (none: empty).
KvCache cache_for(const Decoder& model, int64_t layers, std::span<const Request> requests,
                  std::span<const int64_t> more = {});

// Runs packed x [tokens, hidden] through the cache's layers; returns the last token's row of each
// slot [slots, hidden]. on_kv is called once a layer, when all of it is there.
at::Tensor prefill(const Decoder& model, KvCache& cache, std::span<const SlotReading> readings,
                   const at::Tensor& x, const Observer& observer = {});

}  // namespace kvcomm
