#include "plan/tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "base/parallel.h"
#include "base/utf8.h"
#include "method/control.h"
#include "method/sharing.h"

namespace kvcomm {

// ---- what a cell's ends read

std::optional<CellTokens> TokenCounter::count(const Cell& cell) {
  std::vector<uint32_t> samples(static_cast<size_t>(cell.samples));
  std::iota(samples.begin(), samples.end(), 0U);
  return count(cell, samples);
}

std::optional<CellTokens> TokenCounter::count(const Cell& cell, std::span<const uint32_t> samples) {
  const Dataset& dataset = plan_.datasets[cell.dataset];
  if (dataset.path.empty()) return {};
  const Profile profile = profile_of(cell.spec, plan_.fidelity);
  const bool deranged_ones = control_of(cell.spec) == Control::kDeranged;
  const size_t wanted = deranged_ones     ? dataset.samples.size()
                        : samples.empty() ? 0
                                          : std::ranges::max(samples) + size_t{1};
  const Lengths& prompts = lengths(cell, wanted, profile.asked, profile.answers_at);
  Lengths contexts(samples.size());
  const SampleTokens generated = generating(cell, profile);
  const Lengths* last = &prompts;  // without what is said in it
  if (profile.refines) last = &lengths(cell, wanted, Reading::kRefine, profile.answers_at);
  std::vector<SampleTokens> each(samples.size(), generated);
  const size_t senders = profile.sender == Reading::kNothing ? 0 : senders_of(plan_.config);
  for (size_t sender = 0; sender < senders; ++sender) {
    const Lengths& read = lengths(cell, wanted, profile.sender, End::kSender, sender);
    for (size_t i = 0; i < samples.size(); ++i) {
      const int64_t length =
          read[deranged_ones ? deranged(samples[i], dataset.samples.size()) : samples[i]];
      const bool too_long = contexts[i] == kTooLong || length == kTooLong;
      contexts[i] = too_long ? kTooLong : contexts[i] + length;
      each[i].senders[sender].context = length;
    }
  }
  CellTokens tokens{.estimated = !encodes(plan_.pairs[cell.pair])};
  int64_t prompt = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const bool too_long = contexts[i] == kTooLong || prompts[samples[i]] == kTooLong;
    tokens.too_long += too_long;
    tokens.context += too_long ? 0 : contexts[i];
    prompt += too_long ? 0 : prompts[samples[i]];
    if (too_long) continue;
    each[i].prompt += std::max<int64_t>((*last)[samples[i]], 0);
    if (profile.refines) each[i].first_prompt = prompts[samples[i]];
    tokens.each.push_back(std::move(each[i]));
  }
  if (!profile.refines) tokens.prompt = prompt;
  return tokens;
}

// What a sample's ends may generate; the refined prompt holds what was said, beside the question.
SampleTokens TokenCounter::generating(const Cell& cell, const Profile& profile) const {
  const PlannedPair& pair = plan_.pairs[cell.pair];
  const ModelConfig& model = pair.receiver.config;
  SampleTokens tokens{.senders = std::vector<SampleTokens::Sender>(pair.senders.size()),
                      .answer = profile.answers_letters
                                    ? 1
                                    : max_new_tokens(plan_.config.datasets[cell.dataset],
                                                     plan_.datasets[cell.dataset].info)};
  if (shares_layers(cell.spec)) {
    tokens.whole_layers = layers_sent(cell.spec, model.layers, plan_.fidelity).most;
  }
  if (!profile.refines) return tokens;
  const int64_t said = wire_cost(cell.spec, model, 1, plan_.fidelity).most_steps;
  for (SampleTokens::Sender& sender : tokens.senders) sender.said = said;
  tokens.first_answer = said;
  tokens.prompt = said * static_cast<int64_t>(tokens.senders.size() + 1);
  return tokens;
}

const TokenCounter::Lengths& TokenCounter::lengths(const Cell& cell, size_t wanted, Reading reading,
                                                   End by, size_t sender) {
  const PairConfig& named = plan_.config.pairs[cell.pair];
  const PlannedPair& pair = plan_.pairs[cell.pair];
  const Dataset& dataset = plan_.datasets[cell.dataset];
  const std::string text = encodes(pair) ? pair.tokenizer_hash + " " + pair.chat_hash : "";
  Lengths& found = lengths_[fmt::format("{} {} {} {} {} {} {} {}", text, cell.dataset,
                                        named.sender_thinks, named.receiver_thinks, named.think_end,
                                        static_cast<int>(reading), static_cast<int>(by), sender)];
  const size_t known = found.size();
  if (known >= wanted) return found;
  std::optional<PromptBuilder> prompt_builder;
  if (encodes(pair)) {
    prompt_builder.emplace(make_prompt_builder(plan_.config, named, dataset.info, text_of(pair)));
  }
  found.resize(wanted);
  in_parallel(known, wanted, std::thread::hardware_concurrency(), [&](size_t i) {
    const Sample& sample = dataset.at(i);
    try {
      found[i] = prompt_builder ? std::ssize(prompt_builder->encoded(sample, reading, by, sender))
                                : estimated(dataset.info, sample, reading, sender);
    } catch (const Error& error) {
      if (error.exit() != Exit::kUsage) throw;
      found[i] = kTooLong;
    }
  });
  return found;
}

int64_t TokenCounter::estimated(const DatasetInfo& info, const Sample& sample, Reading reading,
                                size_t sender) const {
  if (reading == Reading::kRefine) reading = Reading::kQuestion;  // most of it
  const bool one = reading == Reading::kSkyline;
  const std::string& context = one ? sample.context() : sample.contexts.at(sender);
  const std::string prompt = prompts_.prompt(
      info.name, info.kind, prompt_key(reading),
      std::array{PromptValue{"context", context}, PromptValue{"question", sample.question}});
  return std::min(static_cast<int64_t>(count_characters(prompt)) / kCharactersPerToken,
                  plan_.config.run.max_input_tokens);
}

std::shared_ptr<const Text> TokenCounter::text_of(const PlannedPair& pair) {
  auto& text = texts_[pair.tokenizer_hash + pair.chat_hash];
  if (!text) text = load_text(pair.receiver.folder);
  return text;
}

}  // namespace kvcomm
