// The tokens that a model's folder names beside its tokenizer.json, file by file: what
// model_folder.cpp puts together.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace kvcomm {

constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr const char* kAdditional = "additional_special_tokens";

// A JSON object; an empty one where there is no such file. Fails (kEnvironment) naming it.
nlohmann::json read_object(const std::filesystem::path& path);

// Runs what reads a file's values; their wrong types are told with the file.
template <typename Read>
auto reading_values(const std::filesystem::path& path, const Read& read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& wrong) {
    fail(Exit::kEnvironment, "'{}' is not as this program knows such files: {}.", path.string(),
         wrong.what());
  }
}

// A token as these files give it: a text, or an object with tokenizer.json's fields.
struct GivenToken {
  std::string content;
  nlohmann::json fields;  // null: a text
  bool special = false;

  // As an entry of tokenizer.json's added_tokens, but for its id.
  nlohmann::json entry() const;
};

GivenToken given_token(const nlohmann::json& value);

struct NamedToken {
  std::string name;  // "bos_token"; kAdditional for a list's
  GivenToken token;
  bool by_class = false;  // no file names it
};

// tokenizer_config.json, and what else says which special tokens there are.
struct TokenConfig {
  std::filesystem::path folder;
  nlohmann::json values;        // special_tokens_map.json has its say over the configuration's
  std::string tokenizer_class;  // without its "Fast"; "": no file names one
  bool lists_tokens = false;    // there is an added_tokens_decoder

  std::filesystem::path path() const { return folder / kTokenizerConfig; }

  // The special tokens by their names, in transformers' order.
  std::vector<NamedToken> named_tokens() const;
};

TokenConfig read_token_config(const std::filesystem::path& model_folder);

}  // namespace kvcomm
