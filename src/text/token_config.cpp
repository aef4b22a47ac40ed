#include "text/token_config.h"

#include <algorithm>
#include <array>

#include "base/model_file.h"
#include "base/nesting.h"

namespace kvcomm {

namespace fs = std::filesystem;
using nlohmann::json;

json read_object(const fs::path& path) {
  if (!fs::exists(path)) return json::object();
  try {
    json object = parse_json(read_model_file(path));
    if (object.is_object()) return object;
  } catch (const json::exception& broken) {
    fail(Exit::kEnvironment, "'{}' is no valid JSON: {}.", path.string(), broken.what());
  }
  fail(Exit::kEnvironment, "'{}' holds no JSON object.", path.string());
}

json GivenToken::entry() const {
  const auto flag = [&](const char* name, bool otherwise) {
    const auto found = fields.is_object() ? fields.find(name) : fields.end();
    return found == fields.end() || found->is_null() ? otherwise : found->get<bool>();
  };
  return {{"content", content},
          {"single_word", flag("single_word", false)},
          {"lstrip", flag("lstrip", false)},
          {"rstrip", flag("rstrip", false)},
          {"normalized", flag("normalized", !special)},
          {"special", special}};
}

GivenToken given_token(const json& value) {
  if (!value.is_object()) return {.content = value.get<std::string>()};
  const GivenToken token{.content = value.at("content"),
                         .fields = value,
                         .special = value.contains("special") && value["special"] == true};
  token.entry();  // its fields are of their types
  return token;
}

namespace {

// Read only where the configuration has no added_tokens_decoder, and then stronger than it.
void apply_special_tokens_map(TokenConfig& config) {
  const fs::path path = config.folder / "special_tokens_map.json";
  const json map = read_object(path);
  for (const auto& [key, value] : map.items()) {
    json& mine = config.values[key];
    json theirs = value;
    if (theirs.is_object()) theirs["special"] = true;
    if (key != kAdditional || !theirs.is_array()) {
      mine = theirs;
      continue;
    }
    if (!mine.is_array()) mine = json::array();
    for (json& token : theirs) {
      if (token.is_object()) token["special"] = true;
      if (std::ranges::find(mine, token) == mine.end()) mine.push_back(token);
    }
  }
}

// As AutoTokenizer finds it.
std::string tokenizer_class_of(const fs::path& folder, const json& values) {
  json name = values.value("tokenizer_class", json());
  if (name.is_null()) {
    const json model = read_object(folder / "config.json");
    name = model.value("tokenizer_class", json());
    const json type = model.value("model_type", json());
    if (name.is_null() && type == "qwen2") name = "Qwen2Tokenizer";
    if (name.is_null() && (type == "llama" || type == "mistral")) name = "LlamaTokenizer";
  }
  std::string text = name.is_null() ? "" : name.get<std::string>();
  if (text.ends_with("Fast")) text.resize(text.size() - 4);
  return text;
}

// The special token that a class has where no file gives one of that name.
std::string class_token(const std::string& tokenizer_class, std::string_view name) {
  const bool gpt2 = tokenizer_class == "GPT2Tokenizer" || tokenizer_class == "GPTNeoXTokenizer";
  const bool qwen2 = tokenizer_class == "Qwen2Tokenizer";
  const bool llama = tokenizer_class == "LlamaTokenizer";
  if (name == "bos_token") return llama ? "<s>" : gpt2 ? "<|endoftext|>" : "";
  if (name == "eos_token") return llama ? "</s>" : gpt2 || qwen2 ? "<|endoftext|>" : "";
  if (name == "unk_token") return llama ? "<unk>" : gpt2 || qwen2 ? "<|endoftext|>" : "";
  return name == "pad_token" && qwen2 ? "<|endoftext|>" : "";
}

}  // namespace

TokenConfig read_token_config(const fs::path& model_folder) {
  TokenConfig config{.folder = model_folder,
                     .values = read_object(model_folder / kTokenizerConfig)};
  config.tokenizer_class = reading_values(
      config.path(), [&] { return tokenizer_class_of(model_folder, config.values); });
  config.lists_tokens = !config.values.value("added_tokens_decoder", json()).is_null();
  if (!config.lists_tokens) apply_special_tokens_map(config);
  return config;
}

std::vector<NamedToken> TokenConfig::named_tokens() const {
  // In the order in which transformers adds those that the vocabulary lacks.
  static constexpr std::array kNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
  static constexpr std::array kQwen2sOwn = {kNames[0], kNames[1], kNames[2], kNames[4]};
  std::vector<NamedToken> named;
  const auto add = [&](const std::string& name, const json& value) {
    if (!value.is_null() && value != "") named.push_back({name, given_token(value)});
  };
  const auto add_all = [&](const json& list) {
    for (const json& value : list) add(kAdditional, value);
  };
  return reading_values(path(), [&] {
    for (const char* name : kNames) {
      const size_t before = named.size();
      const bool given = values.contains(name);
      add(name, given ? values[name] : json(class_token(tokenizer_class, name)));
      if (named.size() == before) continue;
      auto& [_, token, by_class] = named.back();
      by_class = !given;
      // Qwen2's class makes tokens of plain texts; others leave those to what lists them.
      const bool makes_token = tokenizer_class == "Qwen2Tokenizer" && token.fields.is_null() &&
                               std::ranges::find(kQwen2sOwn, name) != kQwen2sOwn.end();
      if (makes_token) {
        token.fields = json::object();
        token.special = true;
      }
    }
    add_all(values.value(kAdditional, json()));
    const json extra = values.value("extra_special_tokens", json());
    if (extra.is_object()) {
      for (const auto& [name, value] : extra.items()) add(name, value);
    } else {
      add_all(extra);  // as transformers 5 writes them
    }
    return named;
  });
}

}  // namespace kvcomm
