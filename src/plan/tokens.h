// How many tokens a sweep's cells read, counted without any model: the samples' prompts are made
// and encoded as a run makes them. Without a tokenizer their characters give an estimate.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "plan/cost.h"

namespace kvcomm {

// Of one cell, summed over its samples.
struct CellTokens {
  int64_t context = 0;            // the senders' whole prompts; 0 where none reads by itself
  std::optional<int64_t> prompt;  // the receiver's; none: it holds answers, unknown before a run
  int64_t too_long = 0;  // samples over run.max_input_tokens, which will fail; in neither sum
  bool estimated = false;
  // Of each sample that fits: at most what it may generate, and all layers that may be sent.
  std::vector<SampleTokens> each;
};

// LongBench's contexts have 3.8 to 4.7 in the tokenizers of Llama 3.1 and Qwen2.5.
inline constexpr int64_t kCharactersPerToken = 4;

// As a run encodes them, where the tokenizer is there; or by their characters in any case, which is
// quick.
enum class Counting { kEncoded, kEstimated };

class TokenCounter {
 public:
  explicit TokenCounter(const Plan& plan, Counting counting = Counting::kEncoded)
      : plan_(plan), prompts_(load_prompts(plan.config)), counting_(counting) {}

  // None where the data set is absent; estimated, without the chat template's own tokens, where the
  // tokenizer or the template is. Prompts are encoded once for all cells that share them, on all
  // cores.
  std::optional<CellTokens> count(const Cell& cell);
  // Of some of the data set's samples.
  std::optional<CellTokens> count(const Cell& cell, std::span<const uint32_t> samples);

 private:
  static constexpr int64_t kTooLong = -1;
  using Lengths = std::vector<int64_t>;  // by sample; kTooLong: it does not fit

  SampleTokens generating(const Cell& cell, const Profile& profile) const;

  // Of the first `wanted` samples at least. by: the end that reads; of several senders, that one.
  const Lengths& lengths(const Cell& cell, size_t wanted, Reading reading, End by,
                         size_t sender = 0);
  int64_t estimated(const DatasetInfo& info, const Sample& sample, Reading reading,
                    size_t sender) const;
  std::shared_ptr<const Text> text_of(const PlannedPair& pair);
  bool encodes(const PlannedPair& pair) const {
    return counting_ == Counting::kEncoded && pair.has_text();
  }

  const Plan& plan_;
  const Prompts prompts_;
  const Counting counting_;
  std::map<std::string, std::shared_ptr<const Text>> texts_;  // by tokenizer and chat template
  std::map<std::string, Lengths> lengths_;                    // by all that decides them
};

}  // namespace kvcomm
