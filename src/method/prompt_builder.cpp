#include "method/prompt_builder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"

namespace kvcomm {

namespace {

// Stands for answer number `index` (0: the receiver's own) until the chat template is rendered: of
// private-use characters, which no template trims.
std::string marker(size_t index) { return fmt::format("\uE000{}\uE001", index); }
constexpr std::string_view kMarkerBegin = "\uE000", kMarkerEnd = "\uE001";

}  // namespace

PromptBuilder::PromptBuilder(Prompts prompts, std::shared_ptr<const Text> text, Options options)
    : prompts_(std::move(prompts)), text_(std::move(text)), options_(std::move(options)) {}

std::string PromptBuilder::fill(const Sample& sample, std::string_view key,
                                std::span<const PromptValue> values) const {
  return prompts_.prompt(dataset_of(sample), options_.kind, key, values);
}

std::string PromptBuilder::question(std::string_view key, const Sample& sample) const {
  return fill(sample, key, std::array{PromptValue{"question", sample.question}});
}

std::vector<int64_t> PromptBuilder::encode(const std::string& message) const {
  return encode_chat(text_->tokenizer, text_->chat, message, options_.date);
}

// Encoded apart (official_behaviour.md, 11).
void PromptBuilder::append(std::vector<int64_t>& ids, const std::string& text) const {
  const std::vector<int64_t> more = text_->tokenizer.encode(text, /*add_special_tokens=*/false);
  ids.insert(ids.end(), more.begin(), more.end());
}

void PromptBuilder::append_prefixes(std::vector<int64_t>& ids, const Sample& sample,
                                    End end) const {
  if (thinks(end)) append(ids, text(sample, "think_prefix"));
  const std::string thought_end = end == End::kReceiver ? options_.thinking.end : "";
  append(ids, thought_end + text(sample, "answer_prefix"));
}

void PromptBuilder::require_thought_ends(const Sample& sample) const {
  const std::string& marker = options_.thinking.end;
  if (marker.empty()) return;
  const Tokenizer& tokenizer = text_->tokenizer;
  const auto encode = [&](const std::string& text) {
    return tokenizer.encode(text, /*add_special_tokens=*/false);
  };
  const auto require_whole = [&](const std::string& before, const std::string& behind,
                                 const char* where) {
    std::vector<int64_t> apart = encode(before);
    for (const std::string& text : {marker, behind})
      std::ranges::move(encode(text), std::back_inserter(apart));
    if (encode(before + marker + behind) == apart) return;
    fail(
        Exit::kUsage,
        "think_end = {} has other tokens {} than by itself, so that the receiver would not read "
        "the marker that it knows: give it whole tokens, such as a special one with its line ends.",
        nlohmann::json(marker).dump(), where);
  };
  require_whole(text_->chat.render(question("receiver", sample), options_.date), "",
                "behind the receiver's prompt");
  require_whole("", text(sample, "answer_prefix"), "in front of answer_prefix");
}

// Cuts the middle out of what is longer than `room`.
void PromptBuilder::keep_ends(std::vector<int64_t>& ids, int64_t room) const {
  const int64_t half = room / 2;
  if (!options_.truncates || std::ssize(ids) <= room || half < 1) return;
  ids.erase(ids.begin() + half, ids.end() - half);
}

void PromptBuilder::require_fits(std::string_view key, const Sample& sample, size_t tokens) const {
  if (tokens == 0) {
    fail(Exit::kUsage,
         "The {} prompt of {} sample {} ('{}') has no token: the chat template or the prompt makes "
         "nothing of it.",
         key, options_.dataset, sample.index, sample.id);
  }
  if (std::cmp_less_equal(tokens, options_.max_input_tokens)) return;
  fail(Exit::kUsage,
       "The {} prompt of {} sample {} ('{}') has {} tokens, more than run.max_input_tokens = {}.",
       key, options_.dataset, sample.index, sample.id, tokens, options_.max_input_tokens);
}

// A prompt that one model answers by itself, with all that it may hold.
std::vector<int64_t> PromptBuilder::encode_for_one(std::string_view key, const Sample& sample,
                                                   const std::string& message, End end) const {
  std::vector<int64_t> ids = encode(message);
  append_prefixes(ids, sample, end);
  keep_ends(ids, options_.max_input_tokens);
  require_fits(key, sample, ids.size());
  return ids;
}

std::vector<int64_t> PromptBuilder::context_ids(const Sample& sample, size_t sender,
                                                Reading reading) const {
  std::vector<int64_t> ids = encode(fill(
      sample, prompt_key(reading), std::array{PromptValue{"context", sample.contexts.at(sender)}}));
  if (options_.thinking.sender && reading == Reading::kContext) {
    if (const auto thought = text_->tokenizer.id_of("<think>")) std::erase(ids, *thought);
  } else if (options_.thinking.sender) {
    append(ids, text(sample, "think_prefix"));
  }
  return ids;
}

// Of a prompt among several whose whole is longer than the receiver's leaves room for. Where that
// is less than a token each, the release gives the first an empty prompt and the second all of its
// own (official_behaviour.md, 13); here such a sample fails, as one sender's does.
void PromptBuilder::keep_share(std::vector<int64_t>& ids, const Sample& sample, size_t sender,
                               Reading reading) const {
  const auto senders = sample.contexts.size();
  const int64_t room = options_.max_input_tokens - std::ssize(receiver(sample));
  if (senders == 1) return keep_ends(ids, room);
  int64_t whole = std::ssize(ids);
  for (size_t other = 0; other < senders; ++other) {
    if (other != sender) whole += std::ssize(context_ids(sample, other, reading));
  }
  const int64_t share = room / static_cast<int64_t>(senders);
  if (whole <= room || share < 1 || std::ssize(ids) <= share) return;
  if (sender + 1 == senders) ids.erase(ids.begin(), ids.end() - share);
  ids.resize(static_cast<size_t>(share));
}

std::vector<int64_t> PromptBuilder::sender(const Sample& sample, size_t sender,
                                           Reading reading) const {
  std::vector<int64_t> ids = context_ids(sample, sender, reading);
  if (options_.truncates) keep_share(ids, sample, sender, reading);
  require_fits(prompt_key(reading), sample, ids.size());
  return ids;
}

std::vector<int64_t> PromptBuilder::receiver(const Sample& sample) const {
  std::vector<int64_t> ids = encode(question("receiver", sample));
  append_prefixes(ids, sample, End::kReceiver);
  require_fits("receiver", sample, ids.size());
  return ids;
}

std::vector<int64_t> PromptBuilder::encoded(const Sample& sample, Reading reading, End by,
                                            size_t sender) const {
  switch (reading) {
    case Reading::kNothing:
      return {};
    case Reading::kContext:
    case Reading::kSay:
    case Reading::kSummarise:
      return this->sender(sample, sender, reading);
    case Reading::kQuestion:
      return receiver(sample);
    case Reading::kBaseline:
      return baseline(sample, by);
    case Reading::kSkyline:
      return skyline(sample, by);
    case Reading::kRefine: {
      const std::vector<std::string> nothing(sample.contexts.size());
      return refine(sample, "", nothing).ids;
    }
  }
  return {};
}

std::vector<int64_t> PromptBuilder::baseline(const Sample& sample, End answering) const {
  return encode_for_one("baseline", sample, question("baseline", sample), answering);
}

std::vector<int64_t> PromptBuilder::skyline(const Sample& sample, End answering) const {
  const std::string message = fill(sample, "skyline",
                                   std::array{PromptValue{"context", sample.context()},
                                              PromptValue{"question", sample.question}});
  return encode_for_one("skyline", sample, message, answering);
}

std::string PromptBuilder::refine_message(const Sample& sample, const std::string& own,
                                          std::span<const std::string> others) const {
  std::vector<std::string> lines;
  for (size_t i = 0; i < others.size(); ++i) {
    const std::string index = std::to_string(i + 1);
    lines.push_back(
        fill(sample, "other_answer",
             std::array{PromptValue{"answer", others[i]}, PromptValue{"index", index}}));
  }
  const std::string prompt = question("receiver", sample), other_answers = join(lines, "\n");
  return fill(sample, "refine",
              std::array{PromptValue{"prompt", prompt}, PromptValue{"own_answer", own},
                         PromptValue{"other_answers", other_answers}});
}

Prompt PromptBuilder::refine(const Sample& sample, const std::string& own,
                             std::span<const std::string> others) const {
  return {encode_for_one("refine", sample, refine_message(sample, own, others), End::kReceiver)};
}

Prompt PromptBuilder::refine(const Sample& sample, const at::Tensor& own,
                             std::span<const at::Tensor> others) const {
  std::vector<at::Tensor> answers{own};
  answers.insert(answers.end(), others.begin(), others.end());
  std::vector<std::string> markers;
  for (size_t i = 1; i < answers.size(); ++i) markers.push_back(marker(i));
  const std::vector<std::string> nothing(others.size());
  if (refine_message(sample, "", nothing).find(kMarkerBegin) != std::string::npos) {
    fail(Exit::kSomeFailed,
         "The refine prompt of sample {} ('{}') holds U+E000, which marks answers: take it out of "
         "the question, or of paths.prompts.",
         sample.index, sample.id);
  }
  const std::string text =
      text_->chat.render(refine_message(sample, marker(0), markers), options_.date);

  Prompt prompt;
  std::vector<at::Tensor> spliced;
  size_t begin = 0;
  const auto take_text = [&](size_t end) {
    const auto ids = text_->tokenizer.encode(std::string_view(text).substr(begin, end - begin),
                                             /*add_special_tokens=*/false);
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
  };
  for (size_t at = 0; (at = text.find(kMarkerBegin, begin)) != std::string::npos;) {
    take_text(at);
    const size_t end = text.find(kMarkerEnd, at);
    spliced.push_back(answers.at(std::stoul(text.substr(at + kMarkerBegin.size()))));
    prompt.ids.insert(prompt.ids.end(), spliced.back().size(0), Prompt::kVector);
    begin = end + kMarkerEnd.size();
  }
  take_text(text.size());
  append_prefixes(prompt.ids, sample, End::kReceiver);
  require_fits("refine", sample, prompt.ids.size());
  if (!spliced.empty()) prompt.vectors = at::cat(spliced);
  return prompt;
}

// Two samples that begin differently show where a prompt's own words end.
std::vector<std::vector<int64_t>> PromptBuilder::heads() const {
  std::vector<std::string> datasets = parts_of_mix(options_.dataset);
  if (datasets.empty()) datasets.push_back(options_.dataset);
  std::vector<std::vector<int64_t>> heads;
  for (const std::string& dataset : datasets) {
    for (const char* key :
         {"sender", "sender_summary", "receiver", "baseline", "skyline", "refine"}) {
      if (!prompts_.has(dataset, options_.kind, key)) continue;
      const std::vector<int64_t> one = made_up(dataset, key, "0"),
                                 other = made_up(dataset, key, "X");
      heads.emplace_back(one.begin(), std::ranges::mismatch(one, other).in1);
    }
  }
  return heads;
}

// A prompt whose every value is that text.
std::vector<int64_t> PromptBuilder::made_up(const std::string& dataset, std::string_view key,
                                            std::string_view text) const {
  std::vector<PromptValue> values;
  for (const char* name : {"context", "question", "prompt", "own_answer", "other_answers"}) {
    values.push_back({name, text});
  }
  return encode(prompts_.prompt(dataset, options_.kind, key, values));
}

std::string PromptBuilder::said(std::span<const int64_t> ids, std::span<const int64_t> eos) const {
  const bool ended = !ids.empty() && std::ranges::find(eos, ids.back()) != eos.end();
  const Tokenizer& tokenizer = text_->tokenizer;
  const std::string text = tokenizer.decode(ids.first(ids.size() - ended));
  return options_.fidelity.clean_up_spaces && tokenizer.cleans_up_spaces() ? clean_up_spaces(text)
                                                                           : text;
}

}  // namespace kvcomm
