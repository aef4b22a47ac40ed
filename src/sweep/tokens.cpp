#include "sweep/tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <thread>

#include "base/error.h"
#include "base/parallel.h"
#include "base/text.h"
#include "data/utf8.h"

namespace kvcomm {

// ---- what a cell's ends read

std::optional<CellTokens> TokenCounter::count(const Cell& cell) {
  using enum Reading;
  if (plan_.datasets[cell.dataset].path.empty()) return {};
  const MethodSpec& spec = cell.spec;
  const bool alone = spec.name == "baseline" || spec.name == "skyline";
  const Reading by_sender = !debates(spec)                             ? kContext
                            : spec.resolved.at("sender_aware") == true ? kSummarise
                                                                       : kSay;
  const Lengths& prompts = lengths(cell, spec.name == "baseline"  ? kBaseline
                                         : spec.name == "skyline" ? kSkyline
                                                                  : kQuestion);
  const Lengths none(alone ? prompts.size() : 0);
  const Lengths& contexts = alone ? none : lengths(cell, by_sender);
  CellTokens tokens{.estimated = !plan_.pairs[cell.pair].has_text()};
  int64_t prompt = 0;
  for (size_t i = 0; i < static_cast<size_t>(cell.samples); ++i) {
    const bool too_long = contexts[i] == kTooLong || prompts[i] == kTooLong;
    tokens.too_long += too_long;
    tokens.context += too_long ? 0 : contexts[i];
    prompt += too_long ? 0 : prompts[i];
  }
  if (!debates(spec)) tokens.prompt = prompt;
  return tokens;
}

const TokenCounter::Lengths& TokenCounter::lengths(const Cell& cell, Reading reading) {
  const PairConfig& named = plan_.config.pairs[cell.pair];
  const PlannedPair& pair = plan_.pairs[cell.pair];
  const Dataset& dataset = plan_.datasets[cell.dataset];
  const End answering =
      cell.spec.resolved.value("model", "receiver") == "sender" ? End::kSender : End::kReceiver;
  Lengths& found = lengths_[fmt::format("{} {} {} {} {} {} {}", pair.tokenizer_hash, pair.chat_hash,
                                        cell.dataset, named.sender_thinks, named.receiver_thinks,
                                        static_cast<int>(reading), static_cast<int>(answering))];
  const size_t known = found.size(), wanted = static_cast<size_t>(cell.samples);
  if (known >= wanted) return found;
  std::optional<Prompter> prompter;
  if (pair.has_text()) {
    prompter.emplace(make_prompter(plan_.config, named, dataset.info, text_of(pair)));
  }
  found.resize(wanted);
  in_parallel(known, wanted, std::thread::hardware_concurrency(), [&](size_t i) {
    const Sample& sample = dataset.samples[i];
    try {
      found[i] = prompter ? encoded(*prompter, sample, reading, answering)
                          : estimated(dataset.info, sample, reading);
    } catch (const Error& error) {
      if (error.exit() != Exit::kUsage) throw;
      found[i] = kTooLong;
    }
  });
  return found;
}

int64_t TokenCounter::encoded(const Prompter& prompter, const Sample& sample, Reading reading,
                              End by) const {
  switch (reading) {
    case Reading::kContext:
      return std::ssize(prompter.sender(sample, /*sender=*/0));
    case Reading::kSay:
      return std::ssize(prompter.sender(sample, /*sender=*/0, SenderTask::kAnswer));
    case Reading::kSummarise:
      return std::ssize(prompter.sender(sample, /*sender=*/0, SenderTask::kSummarise));
    case Reading::kQuestion:
      return std::ssize(prompter.receiver(sample));
    case Reading::kBaseline:
      return std::ssize(prompter.baseline(sample, by));
    case Reading::kSkyline:
      return std::ssize(prompter.skyline(sample, by));
  }
  return 0;
}

int64_t TokenCounter::estimated(const DatasetInfo& info, const Sample& sample,
                                Reading reading) const {
  const char* key = reading == Reading::kSummarise  ? "sender_summary"
                    : reading == Reading::kQuestion ? "receiver"
                    : reading == Reading::kBaseline ? "baseline"
                    : reading == Reading::kSkyline  ? "skyline"
                                                    : "sender";
  const std::string context = join(sample.contexts, "\n");
  const std::string prompt = prompts_.prompt(
      info.name, info.kind, key,
      std::array{PromptValue{"context", context}, PromptValue{"question", sample.question}});
  return static_cast<int64_t>(count_characters(prompt)) / kCharactersPerToken;
}

std::shared_ptr<const Text> TokenCounter::text_of(const PlannedPair& pair) {
  auto& text = texts_[pair.tokenizer_hash + pair.chat_hash];
  if (!text) text = load_text(pair.receiver);
  return text;
}

}  // namespace kvcomm
