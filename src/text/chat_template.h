// Chat templates: a user's message becomes the prompt that the model was trained on.
// Rendered as transformers does (text/jinja/template.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace kvcomm {

namespace jinja {
class Template;
}

// The day that Llama 3.1's template prints where it is told none; run.date's default.
constexpr std::string_view kTemplateDate = "2024-07-26";

// A token that templates know by name ("pad_token"), and its text.
using NamedTokens = std::vector<std::pair<std::string, std::string>>;

// A token that templates know by name ("pad_token"), and its text.
using NamedTokens = std::vector<std::pair<std::string, std::string>>;

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  // From a model's folder, with its special tokens (model_folder.h says of which files). Fails
  // (kEnvironment), showing the template's line, if there is none, or if it asks for what this
  // program does not follow.
  static ChatTemplate load(const std::filesystem::path& model_folder);

  // Whether load() would find one there, readable or not.
  static bool lies_in(const std::filesystem::path& model_folder);

  // more_tokens: other special tokens by the names that the source has for them ("unk_token").
  // where: whose template it is, for errors.
  ChatTemplate(std::string source, std::string bos_token, std::string eos_token,
               NamedTokens more_tokens = {}, std::string where = "The chat template");

  // One user message with the generation prompt. date: "2025-01-31", the day of the template's
  // `strftime_now`, and where it is not kTemplateDate its `date_string` ("31 Jan 2025").
  // transformers gives no date_string, so that templates print a date of their own (Llama 3.1's is
  // kTemplateDate): they do so here too unless the run asks for another day. Fails (kEnvironment)
  // where the template raises an exception or meets what this program does not follow.
  std::string render(std::string_view user_message, std::string_view date) const;
  std::string render(std::span<const ChatMessage> messages, std::string_view date,
                     bool add_generation_prompt) const;

  // The text of the token that ends a turn; "" where the folder names none.
  const std::string& eos_token() const { return eos_token_; }

  // Of the template's text and the tokens that it names, bos and eos always: all that decides a
  // rendering but messages and date.
  const std::string& hash() const { return hash_; }

 private:
  std::string eos_token_, hash_, where_;
  NamedTokens tokens_;  // without those that are ""
  std::shared_ptr<const jinja::Template> template_;
};

// A message's ids, as every method reads it. Templates that want a BOS write it themselves
// (Llama's, DeepSeek's), so the tokenizer's post-processor adds nothing: no doubled BOS. This is
// the one way from a message to ids.
std::vector<int64_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                 std::string_view user_message, std::string_view date);

}  // namespace kvcomm
