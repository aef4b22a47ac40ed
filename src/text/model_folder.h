// What a model's folder says of its tokens and of its chat template, in all of its files, as
// transformers 4.53.3's AutoTokenizer.from_pretrained takes them together. Where two files
// contradict each other they are refused with both values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

namespace kvcomm {

// Whether there is something to make a tokenizer from, readable or not.
bool tokenizer_lies_in(const std::filesystem::path& model_folder);

struct TokenizerFiles {
  std::filesystem::path path;    // tokenizer.json, or what stands in its place
  nlohmann::json tokenizer;      // tokenizer.json with what the other files add to its tokens
  std::string hash;              // of its bytes, and of what is added where something is
  bool clean_up_spaces = false;  // tokenizer_config.json's clean_up_tokenization_spaces
  // Of tokens that files name and none lists: transformers gives them the next free ids.
  std::set<int64_t> unlisted;
};

// tokenizer.json, tokenizer_config.json, special_tokens_map.json and added_tokens.json; before
// there were tokenizer.json files, vocab.json and merges.txt. A token that the
// tokenizer's class alone names and the vocabulary lacks (Llama's "<unk>") counts where the chat
// template mentions it, or a token that a file names comes after it. Fails (kEnvironment).
TokenizerFiles read_tokenizer_files(const std::filesystem::path& model_folder);

// "bos_token" -> "<s>".
using SpecialTokens = std::map<std::string, std::string>;

struct ChatTemplateFiles {
  std::filesystem::path path;  // where the template stands
  std::string source;
  // bos_token and eos_token where a file names them, and whatever else of its special tokens the
  // source mentions.
  SpecialTokens tokens;
};

// additional_chat_templates/default.jinja, chat_template.jinja, tokenizer_config.json's
// chat_template (a text, or named ones, of which "default" is taken): the first that is there;
// nothing where none is. Fails (kEnvironment).
std::optional<ChatTemplateFiles> find_chat_template(const std::filesystem::path& model_folder);

}  // namespace kvcomm
