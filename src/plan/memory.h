// What a sweep takes of its ranks' memory, estimated before any model is loaded: whether it fits,
// and how many samples a batch may have.
#pragma once

#include <cstdint>
#include <string>

#include "plan/plan.h"

namespace kvcomm {

// As sentences say it.
inline double gib(int64_t bytes) { return static_cast<double>(bytes) / (int64_t{1} << 30); }

// Of one rank, in bytes.
struct RankMemory {
  int64_t weights = 0;
  int64_t pass = 0;    // activations of one pass over run.prefill_tokens tokens
  int64_t sample = 0;  // keys, values and logits of the longest sample

  int64_t with(int64_t samples) const { return weights + pass + samples * sample; }
};

// Of a rank with one model that puts so many tokens into a pass and keeps so many of each sequence.
RankMemory memory_of(const ModelConfig& model, DtypeChoice dtype, int64_t pass_tokens,
                     int64_t kept_tokens);

// A pair's ends on ranks of their own, or all on one.
struct PairMemory {
  RankMemory sender, receiver, all;  // sender: the one that takes most
};

// Tokens are estimated from the samples' bytes: rather too many (kHigh) or certainly too few
// (kLow), and never more than run.max_input_tokens.
enum class Estimate { kHigh, kLow };

// Of a pair without its config.json: nothing.
PairMemory memory_of(const Plan& plan, size_t pair, Estimate estimate = Estimate::kHigh);

// A GPU's whole memory; of the host's, what its control group allows, shared out among the node's
// ranks.
int64_t device_memory(at::Device device, int ranks_on_node);

// Decides every pair's batch where the configuration leaves it open: as many samples as fit into
// `bytes`, the smallest rank's memory. alone: one rank is all ends. Fails (kEnvironment) where
// weights and one sample do not fit even if its tokens are few, and warns where a batch may not.
void fit_batches(Plan& plan, int64_t bytes, bool alone);

// "Batches of up to 16 samples (run.batch = 0: ...)", of a plan whose batches were fitted.
std::string batches_line(const Plan& plan, int64_t bytes);

}  // namespace kvcomm
