#include "method/prompt_builder.h"

#include <ATen/ATen.h>

#include <algorithm>

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

std::string PromptBuilder::fill(std::string_view key, std::span<const PromptValue> values) const {
  return prompts_.prompt(options_.dataset, options_.kind, key, values);
}

std::string PromptBuilder::question(std::string_view key, const Sample& sample) const {
  return fill(key, std::array{PromptValue{"question", sample.question}});
}

std::vector<int64_t> PromptBuilder::encode(const std::string& message) const {
  return encode_chat(text_->tokenizer, text_->chat, message, options_.date);
}

// Encoded apart (official_behaviour.md, 11).
void PromptBuilder::append(std::vector<int64_t>& ids, std::string_view key) const {
  const std::string prefix = prompts_.text(options_.dataset, options_.kind, key);
  const std::vector<int64_t> more = text_->tokenizer.encode(prefix, /*add_special_tokens=*/false);
  ids.insert(ids.end(), more.begin(), more.end());
}

void PromptBuilder::append_prefixes(std::vector<int64_t>& ids, bool thinks) const {
  if (thinks) append(ids, "think_prefix");
  append(ids, "answer_prefix");
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
                                                   const std::string& message, bool thinks) const {
  std::vector<int64_t> ids = encode(message);
  append_prefixes(ids, thinks);
  keep_ends(ids, options_.max_input_tokens);
  require_fits(key, sample, ids.size());
  return ids;
}

std::vector<int64_t> PromptBuilder::sender(const Sample& sample, size_t sender,
                                           Reading reading) const {
  const std::string_view key = prompt_key(reading);
  std::vector<int64_t> ids =
      encode(fill(key, std::array{PromptValue{"context", sample.contexts.at(sender)}}));
  if (options_.thinking.sender && reading == Reading::kContext) {
    if (const auto thought = text_->tokenizer.id_of("<think>")) std::erase(ids, *thought);
  } else if (options_.thinking.sender) {
    append(ids, "think_prefix");
  }
  if (options_.truncates) {
    keep_ends(ids, options_.max_input_tokens - std::ssize(receiver(sample)));
  }
  require_fits(key, sample, ids.size());
  return ids;
}

std::vector<int64_t> PromptBuilder::receiver(const Sample& sample) const {
  std::vector<int64_t> ids = encode(question("receiver", sample));
  append_prefixes(ids, options_.thinking.receiver);
  require_fits("receiver", sample, ids.size());
  return ids;
}

std::vector<int64_t> PromptBuilder::encoded(const Sample& sample, Reading reading, End by) const {
  switch (reading) {
    case Reading::kNothing:
      return {};
    case Reading::kContext:
    case Reading::kSay:
    case Reading::kSummarise:
      return sender(sample, /*sender=*/0, reading);
    case Reading::kQuestion:
      return receiver(sample);
    case Reading::kBaseline:
      return baseline(sample, by);
    case Reading::kSkyline:
      return skyline(sample, by);
  }
  return {};
}

std::vector<int64_t> PromptBuilder::baseline(const Sample& sample, End answering) const {
  return encode_for_one("baseline", sample, question("baseline", sample), thinks(answering));
}

std::vector<int64_t> PromptBuilder::skyline(const Sample& sample, End answering) const {
  const std::string context = join(sample.contexts, "\n");
  const std::string message = fill("skyline", std::array{PromptValue{"context", context},
                                                         PromptValue{"question", sample.question}});
  return encode_for_one("skyline", sample, message, thinks(answering));
}

std::string PromptBuilder::refine_message(const Sample& sample, const std::string& own,
                                          std::span<const std::string> others) const {
  std::vector<std::string> lines;
  for (size_t i = 0; i < others.size(); ++i) {
    const std::string index = std::to_string(i + 1);
    lines.push_back(fill(
        "other_answer", std::array{PromptValue{"answer", others[i]}, PromptValue{"index", index}}));
  }
  const std::string prompt = question("receiver", sample), other_answers = join(lines, "\n");
  return fill("refine", std::array{PromptValue{"prompt", prompt}, PromptValue{"own_answer", own},
                                   PromptValue{"other_answers", other_answers}});
}

Prompt PromptBuilder::refine(const Sample& sample, const std::string& own,
                             std::span<const std::string> others) const {
  return {encode_for_one("refine", sample, refine_message(sample, own, others),
                         options_.thinking.receiver)};
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
  append_prefixes(prompt.ids, options_.thinking.receiver);
  require_fits("refine", sample, prompt.ids.size());
  if (!spliced.empty()) prompt.vectors = at::cat(spliced);
  return prompt;
}

// Two samples that begin differently show where a prompt's own words end.
std::vector<std::vector<int64_t>> PromptBuilder::heads() const {
  std::vector<std::vector<int64_t>> heads;
  for (const char* key :
       {"sender", "sender_summary", "receiver", "baseline", "skyline", "refine"}) {
    if (!prompts_.has(options_.dataset, options_.kind, key)) continue;
    const auto made_up = [&](std::string_view text) {
      std::vector<PromptValue> values;
      for (const char* name : {"context", "question", "prompt", "own_answer", "other_answers"}) {
        values.push_back({name, text});
      }
      return encode(fill(key, values));
    };
    const std::vector<int64_t> one = made_up("0"), other = made_up("X");
    heads.emplace_back(one.begin(), std::ranges::mismatch(one, other).in1);
  }
  return heads;
}

std::string PromptBuilder::said(std::span<const int64_t> ids, std::span<const int64_t> eos) const {
  const bool ended = !ids.empty() && std::ranges::find(eos, ids.back()) != eos.end();
  const Tokenizer& tokenizer = text_->tokenizer;
  const std::string text = tokenizer.decode(ids.first(ids.size() - ended));
  return options_.cleans_up_spaces && tokenizer.cleans_up_spaces() ? clean_up_spaces(text) : text;
}

}  // namespace kvcomm
