// Chat templates: a user's message becomes the prompt that the model was trained on.
// Rendered by minja with the settings of transformers (trim_blocks and lstrip_blocks).
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

namespace minja {
class TemplateNode;
}

namespace kvcomm {

// A token that templates know by name ("pad_token"), and its text.
using NamedTokens = std::vector<std::pair<std::string, std::string>>;

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

class ChatTemplate {
 public:
  // From a model's folder, with its special tokens (model_folder.h says of which files). Fails
  // (kEnvironment) if there is none, or if it cannot be parsed.
  static ChatTemplate load(const std::filesystem::path& model_folder);

  // Whether load() would find one there, readable or not.
  static bool lies_in(const std::filesystem::path& model_folder);

  // more_tokens: other special tokens by the names that the source has for them ("unk_token").
  ChatTemplate(std::string source, std::string bos_token, std::string eos_token,
               NamedTokens more_tokens = {});

  // One user message with the generation prompt. date: "2024-07-26", given to the template as
  // `date_string` ("26 Jul 2024") and as the day of its `strftime_now`.
  std::string render(std::string_view user_message, std::string_view date) const;
  std::string render(std::span<const ChatMessage> messages, std::string_view date,
                     bool add_generation_prompt) const;

  // The text of the token that ends a turn; "" where the folder names none.
  const std::string& eos_token() const { return eos_token_; }

  // Of the template's text and the tokens: all that decides a rendering but messages and date.
  const std::string& hash() const { return hash_; }

 private:
  std::string bos_token_, eos_token_, hash_;
  NamedTokens more_tokens_;
  std::shared_ptr<const minja::TemplateNode> root_;
};

// A message's ids, as every method reads it. Templates that want a BOS write it themselves
// (Llama's, DeepSeek's), so the tokenizer's post-processor adds nothing: no doubled BOS. This is
// the one way from a message to ids.
std::vector<int64_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                 std::string_view user_message, std::string_view date);

}  // namespace kvcomm
