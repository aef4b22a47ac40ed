#include "method/prompter.h"

#include "base/error.h"
#include "base/text.h"

namespace kvcomm {

Prompter::Prompter(Prompts prompts, std::shared_ptr<const Text> text, Options options)
    : prompts_(std::move(prompts)), text_(std::move(text)), options_(std::move(options)) {}

std::vector<int64_t> Prompter::sender(const Sample& sample, size_t sender) const {
  return encode("sender", sample, sample.contexts.at(sender), /*answered=*/false);
}

std::vector<int64_t> Prompter::receiver(const Sample& sample) const {
  return encode("receiver", sample, "", /*answered=*/true);
}

std::vector<int64_t> Prompter::skyline(const Sample& sample) const {
  return encode("skyline", sample, join(sample.contexts, "\n"), /*answered=*/true);
}

std::vector<int64_t> Prompter::baseline(const Sample& sample) const {
  return encode("baseline", sample, "", /*answered=*/true);
}

std::vector<int64_t> Prompter::encode(std::string_view key, const Sample& sample,
                                      const std::string& context, bool answered) const {
  const std::vector<PromptValue> values =
      key == "sender" ? std::vector<PromptValue>{{"context", context}}
      : key == "skyline"
          ? std::vector<PromptValue>{{"context", context}, {"question", sample.question}}
          : std::vector<PromptValue>{{"question", sample.question}};
  const std::string message = prompts_.prompt(options_.dataset, options_.kind, key, values);
  std::vector<int64_t> ids = encode_chat(text_->tokenizer, text_->chat, message, options_.date);
  if (answered) {  // encoded apart and appended (official_behaviour.md, 11)
    const std::string prefix = prompts_.text(options_.dataset, options_.kind, "answer_prefix");
    const std::vector<int64_t> more = text_->tokenizer.encode(prefix, /*add_special_tokens=*/false);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  if (static_cast<int64_t>(ids.size()) > options_.max_input_tokens) {
    fail(Exit::kUsage,
         "The {} prompt of {} sample {} ('{}') has {} tokens, more than run.max_input_tokens = {}.",
         key, options_.dataset, sample.index, sample.id, ids.size(), options_.max_input_tokens);
  }
  return ids;
}

}  // namespace kvcomm
