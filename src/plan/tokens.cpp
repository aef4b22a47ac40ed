#include "plan/tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <thread>

#include "base/error.h"
#include "base/parallel.h"
#include "base/text.h"
#include "base/utf8.h"

namespace kvcomm {

// ---- what a cell's ends read

std::optional<CellTokens> TokenCounter::count(const Cell& cell) {
  if (plan_.datasets[cell.dataset].path.empty()) return {};
  const Profile profile = profile_of(cell.spec, plan_.fidelity);
  const Lengths& prompts = lengths(cell, profile.asked, profile.answers_at);
  const bool alone = profile.sender == Reading::kNothing;
  const Lengths none(alone ? prompts.size() : 0);
  const Lengths& contexts = alone ? none : lengths(cell, profile.sender, End::kSender);
  CellTokens tokens{.estimated = !plan_.pairs[cell.pair].has_text()};
  int64_t prompt = 0;
  for (size_t i = 0; i < static_cast<size_t>(cell.samples); ++i) {
    const bool too_long = contexts[i] == kTooLong || prompts[i] == kTooLong;
    tokens.too_long += too_long;
    tokens.context += too_long ? 0 : contexts[i];
    prompt += too_long ? 0 : prompts[i];
  }
  if (!profile.refines) tokens.prompt = prompt;
  return tokens;
}

const TokenCounter::Lengths& TokenCounter::lengths(const Cell& cell, Reading reading, End by) {
  const PairConfig& named = plan_.config.pairs[cell.pair];
  const PlannedPair& pair = plan_.pairs[cell.pair];
  const Dataset& dataset = plan_.datasets[cell.dataset];
  Lengths& found = lengths_[fmt::format("{} {} {} {} {} {} {}", pair.tokenizer_hash, pair.chat_hash,
                                        cell.dataset, named.sender_thinks, named.receiver_thinks,
                                        static_cast<int>(reading), static_cast<int>(by))];
  const size_t known = found.size(), wanted = static_cast<size_t>(cell.samples);
  if (known >= wanted) return found;
  std::optional<PromptBuilder> prompt_builder;
  if (pair.has_text()) {
    prompt_builder.emplace(make_prompt_builder(plan_.config, named, dataset.info, text_of(pair)));
  }
  found.resize(wanted);
  in_parallel(known, wanted, std::thread::hardware_concurrency(), [&](size_t i) {
    const Sample& sample = dataset.samples[i];
    try {
      found[i] = prompt_builder ? std::ssize(prompt_builder->encoded(sample, reading, by))
                                : estimated(dataset.info, sample, reading);
    } catch (const Error& error) {
      if (error.exit() != Exit::kUsage) throw;
      found[i] = kTooLong;
    }
  });
  return found;
}

int64_t TokenCounter::estimated(const DatasetInfo& info, const Sample& sample,
                                Reading reading) const {
  const std::string context = join(sample.contexts, "\n");
  const std::string prompt = prompts_.prompt(
      info.name, info.kind, prompt_key(reading),
      std::array{PromptValue{"context", context}, PromptValue{"question", sample.question}});
  return static_cast<int64_t>(count_characters(prompt)) / kCharactersPerToken;
}

std::shared_ptr<const Text> TokenCounter::text_of(const PlannedPair& pair) {
  auto& text = texts_[pair.tokenizer_hash + pair.chat_hash];
  if (!text) text = load_text(pair.receiver);
  return text;
}

}  // namespace kvcomm
