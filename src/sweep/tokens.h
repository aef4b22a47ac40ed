// How many tokens a sweep's cells read, counted without any model: the samples' prompts are made
// and encoded as a run makes them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sweep/plan.h"

namespace kvcomm {

// Of one cell, summed over its samples.
struct CellTokens {
  int64_t context = 0;            // the senders' whole prompts; 0 where none reads by itself
  std::optional<int64_t> prompt;  // the receiver's; none: it holds answers, unknown before a run
  int64_t too_long = 0;  // samples over run.max_input_tokens, which will fail; in neither sum
};

class TokenCounter {
 public:
  explicit TokenCounter(const Plan& plan) : plan_(plan) {}

  // None where the tokenizer, the chat template or the data set is absent. Prompts are encoded once
  // for all cells that share them, on all cores.
  std::optional<CellTokens> count(const Cell& cell);

 private:
  enum class Reading { kContext, kSay, kSummarise, kQuestion, kBaseline, kSkyline };

  static constexpr int64_t kTooLong = -1;
  using Lengths = std::vector<int64_t>;  // by sample; kTooLong: it does not fit

  const Lengths& lengths(const Cell& cell, Reading reading);
  std::shared_ptr<const Text> text_of(const PlannedPair& pair);

  const Plan& plan_;
  std::map<std::string, std::shared_ptr<const Text>> texts_;  // by tokenizer and chat template
  std::map<std::string, Lengths> lengths_;                    // by all that decides them
};

}  // namespace kvcomm
