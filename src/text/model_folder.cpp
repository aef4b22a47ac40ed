#include "text/model_folder.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/model_file.h"
#include "base/nesting.h"
#include "base/whole.h"
#include "text/token_config.h"

namespace kvcomm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kTokenizer = "tokenizer.json";
constexpr const char* kAddedTokens = "added_tokens.json";

struct ListedToken {
  int64_t id;
  GivenToken token;
  fs::path file;
};

// ---- the chat template

std::string named_template(const json& templates, const fs::path& path) {
  std::optional<std::string> found;  // of two with one name the later counts
  if (templates.is_object()) {
    if (templates.contains("default")) found = templates["default"];
  } else {
    for (const json& named : templates) {
      if (named.at("name") == "default") found = named.at("template");
    }
  }
  if (found) return *found;
  fail(Exit::kEnvironment, "'{}' lists chat templates, but none of them is named 'default'.",
       path.string());
}

std::optional<ChatTemplateFiles> find_source(const TokenConfig& config) {
  const fs::path& folder = config.folder;
  const fs::path more = folder / "additional_chat_templates";
  for (const fs::path& path : {more / "default.jinja", folder / "chat_template.jinja"}) {
    if (fs::exists(path)) return ChatTemplateFiles{.path = path, .source = read_model_file(path)};
  }
  if (fs::is_directory(more)) {
    for (const auto& entry : fs::directory_iterator(more)) {
      if (entry.path().extension() != ".jinja") continue;
      fail(Exit::kEnvironment,
           "'{}' holds chat templates, which count in place of tokenizer_config.json's, but none "
           "is its default.jinja, nor is there a chat_template.jinja.",
           more.string());
    }
  }
  const auto found = config.values.find("chat_template");
  if (found == config.values.end() || found->is_null()) return std::nullopt;
  const fs::path path = config.path();
  return ChatTemplateFiles{
      .path = path,
      .source = found->is_string() ? found->get<std::string>() : named_template(*found, path)};
}

// Whether the folder's template, where it can be followed, has a word for a special token.
bool template_mentions(const TokenConfig& config, const std::string& name) {
  try {
    const auto files = find_source(config);
    return files && files->source.find(name) != std::string::npos;
  } catch (const Error&) {
    return false;  // find_chat_template() says what is wrong
  } catch (const json::exception&) {
    return false;
  }
}

// ---- tokenizer.json with the other files' tokens

// The tokens of a tokenizer.json, with more being added as the `tokenizers` package does it.
class TokenList {
 public:
  explicit TokenList(json& tokenizer)
      : vocab_(tokenizer.at("model").at("vocab")), added_(tokenizer["added_tokens"]) {
    if (added_.is_null()) added_ = json::array();
    for (const json& entry : added_) ids_.emplace(entry.at("content"), entry.at("id"));
  }

  bool is_added(const std::string& content) const { return ids_.contains(content); }

  std::optional<int64_t> id_of(const std::string& content) const {
    if (const auto added = ids_.find(content); added != ids_.end()) return added->second;
    const auto found = vocab_.find(content);
    return found == vocab_.end() ? std::nullopt
                                 : std::optional(found->get<Integer<int64_t>>().value);
  }

  // The token that has it, "" if none.
  std::string content_of(int64_t id) const {
    for (const auto& [content, other] : ids_) {
      if (other == id) return content;
    }
    for (const auto& [content, other] : vocab_.items()) {
      if (other == id) return content;
    }
    return "";
  }

  // A token that has an id keeps it and takes the fields. Once special it stays so; before, the
  // package goes on looking for it both ways, as written and normalized, where it was defined so:
  // two entries.
  int64_t add(const GivenToken& token) {
    json entry = token.entry();
    const int64_t id = id_of(token.content).value_or(next_id());
    const json normalized = entry["normalized"];
    entry["id"] = id;
    bool settled = false;
    for (json& other : added_) {
      if (other.at("content") != token.content) continue;
      settled |= other.at("special") == true || other.at("normalized") == normalized;
      entry["special"] = token.special || other.at("special") == true;
      entry["normalized"] = other.at("normalized");
      other = entry;
    }
    entry["normalized"] = normalized;
    if (!settled) added_.push_back(std::move(entry));
    ids_.emplace(token.content, id);
    return id;
  }

 private:
  int64_t next_id() const {
    int64_t next = std::ssize(vocab_);
    for (const auto& [content, id] : ids_) next = std::max(next, id + 1);
    return next;
  }

  const json& vocab_;
  json& added_;
  std::map<std::string, int64_t> ids_;  // of the added ones
};

// The tokens that files list with their ids, by id: added_tokens_decoder's; where there is none,
// tokenizer.json's own and added_tokens.json's.
std::vector<ListedToken> listed_tokens(const TokenConfig& config, const json& own,
                                       const fs::path& own_path) {
  std::vector<ListedToken> listed;
  if (config.lists_tokens) {
    const fs::path path = config.path();
    reading_values(path, [&] {
      for (const auto& [id, token] : config.values["added_tokens_decoder"].items()) {
        listed.push_back({json::parse(id).get<Integer<int64_t>>(), given_token(token), path});
      }
    });
  } else {
    for (const json& entry : own) {
      listed.push_back({entry.at("id").get<Integer<int64_t>>(), given_token(entry), own_path});
    }
    const fs::path path = config.folder / kAddedTokens;
    const json legacy = read_object(path);
    reading_values(path, [&] {
      for (const auto& [content, id] : legacy.items()) {
        const bool known = std::ranges::any_of(listed, [&](const ListedToken& other) {
          return other.id == id && other.token.content == content;
        });
        if (!known) listed.push_back({id.get<Integer<int64_t>>(), {.content = content}, path});
      }
    });
  }
  std::ranges::stable_sort(listed, {}, &ListedToken::id);
  return listed;
}

void add_listed(TokenList& tokens, const ListedToken& listed, const fs::path& tokenizer) {
  const std::string& content = listed.token.content;
  const bool known = tokens.id_of(content).has_value();
  const int64_t id = tokens.add(listed.token);
  if (id == listed.id) return;
  const std::string holder = tokens.content_of(listed.id);
  fail(Exit::kEnvironment,
       "'{}' gives the token '{}' the id {}, and by '{}' it is {}{}{}: fetch the model's folder "
       "anew, or take the token out of the file that is wrong.",
       listed.file.string(), content, listed.id, tokenizer.string(), id,
       known ? "" : ", the next one that is free",
       holder.empty() ? "" : fmt::format(" ({} is '{}')", listed.id, holder));
}

// What the folder's files add to a tokenizer.json, in the order in which transformers adds it.
// Returns the ids of tokens that no file lists.
std::set<int64_t> add_tokens(json& tokenizer, const TokenConfig& config, const fs::path& path) {
  TokenList tokens(tokenizer);
  std::vector<ListedToken> listed = listed_tokens(config, tokenizer["added_tokens"], path);
  std::vector<NamedToken> named = config.named_tokens();
  std::set<std::string> known, special, in_use;
  for (const ListedToken& token : listed) {
    if (token.file.filename() != kAddedTokens) known.insert(token.token.content);
  }
  for (const NamedToken& token : named) {
    special.insert(token.token.content);
    if (!token.by_class || template_mentions(config, token.name)) {
      in_use.insert(token.token.content);
    }
  }
  for (ListedToken& token : listed) {
    token.token.special |= special.contains(token.token.content);
    if (!token.token.content.empty()) add_listed(tokens, token, path);
  }
  std::set<std::string> seen;
  std::set<int64_t> unlisted;
  std::vector<GivenToken> waiting;  // the class's own, until one that is in use comes after them
  for (auto& [name, token, by_class] : named) {
    const bool is_listed = known.contains(token.content) && name != kAdditional && !by_class;
    const bool is_text = token.fields.is_null();
    if (!seen.insert(token.content).second || is_listed) continue;
    if (is_text && tokens.is_added(token.content)) continue;
    token.special = true;
    const bool is_new = !tokens.id_of(token.content);
    if (is_new && !in_use.contains(token.content)) {
      waiting.push_back(token);
      continue;
    }
    if (is_new) {
      for (const GivenToken& before : waiting) unlisted.insert(tokens.add(before));
      waiting.clear();
    }
    const int64_t id = tokens.add(token);
    if (is_new) unlisted.insert(id);
  }
  return unlisted;
}

// transformers sets this of a ByteLevel that stands alone by the configuration, not the other way
// round.
void set_prefix_space(json& tokenizer, const TokenConfig& config) {
  const auto step = tokenizer.find("pre_tokenizer");
  const bool alone = step != tokenizer.end() && step->is_object() &&
                     step->value("type", "") == "ByteLevel" && step->contains("add_prefix_space");
  if (!alone || config.tokenizer_class.empty() || config.tokenizer_class == "LlamaTokenizer") {
    return;
  }
  const json wanted = config.values.value("add_prefix_space", json(false));
  if (wanted.is_boolean()) (*step)["add_prefix_space"] = wanted;
}

// What this program would have to do otherwise.
void check_config(const TokenConfig& config) {
  const fs::path path = config.path();
  if (config.values.value("split_special_tokens", json(false)) == true) {
    fail(Exit::kEnvironment,
         "'{}' sets split_special_tokens, by which special tokens in a text are none: this program "
         "does not know that.",
         path.string());
  }
  for (const json& name : config.values.value("fast_tokenizer_files", json::array())) {
    if (name == kTokenizer) continue;
    fail(Exit::kEnvironment,
         "'{}' names {} in fast_tokenizer_files, a tokenizer for other versions of transformers; "
         "this program reads tokenizer.json alone: take the key out if that is the one.",
         path.string(), name.dump());
  }
}

// ---- exports of before tokenizer.json

// What transformers' converter makes of vocab.json and merges.txt.
json convert_vocabulary(const fs::path& folder, const std::string& tokenizer_class) {
  const bool qwen2 = tokenizer_class == "Qwen2Tokenizer";
  if (!qwen2 && tokenizer_class != "GPT2Tokenizer") {
    fail(
        Exit::kEnvironment,
        "'{}' has vocab.json and merges.txt in place of a tokenizer.json, for a tokenizer of class "
        "'{}'; this program knows GPT2Tokenizer's and Qwen2Tokenizer's: let AutoTokenizer's "
        "save_pretrained write a tokenizer.json.",
        folder.string(), tokenizer_class);
  }
  json merges = json::array();
  const std::string text = read_model_file(folder / "merges.txt");
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && !(at == 0 && line.starts_with("#version"))) merges.push_back(line);
    at = end + 1;
  }
  const json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", !qwen2}};
  json pre_tokenizer = byte_level;
  if (qwen2) {
    const json split = {
        {"type", "Split"},
        {"pattern",
         {{"Regex",
           R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}}},
        {"behavior", "Isolated"},
        {"invert", false}};
    pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}};
  }
  return {{"normalizer", qwen2 ? json{{"type", "NFC"}} : json()},
          {"pre_tokenizer", pre_tokenizer},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"vocab", read_object(folder / "vocab.json")}, {"merges", merges}}}};
}

bool has_vocabulary(const fs::path& folder) {
  return fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt");
}

// tokenizer.json as it is, with its hash.
TokenizerFiles read_tokenizer(const TokenConfig& config) {
  TokenizerFiles files{.path = config.folder / kTokenizer};
  if (!fs::exists(files.path) && has_vocabulary(config.folder)) {
    files.path = config.folder / "vocab.json";
    files.tokenizer = convert_vocabulary(config.folder, config.tokenizer_class);
    files.hash = hash128_hex(files.tokenizer.dump());
    return files;
  }
  if (!fs::exists(files.path)) {
    fail(Exit::kEnvironment,
         "There is no tokenizer at '{}': a model's folder needs its tokenizer.json{}.",
         files.path.string(),
         fs::exists(config.folder / "tokenizer.model")
             ? ", which AutoTokenizer's save_pretrained writes where there is a tokenizer.model"
             : "");
  }
  const std::string content = read_model_file(files.path);
  files.tokenizer = reading_values(files.path, [&] { return parse_json(content); });
  files.hash = hash128_hex(content);
  return files;
}

}  // namespace

bool tokenizer_lies_in(const fs::path& model_folder) {
  return fs::exists(model_folder / kTokenizer) || has_vocabulary(model_folder);
}

TokenizerFiles read_tokenizer_files(const fs::path& model_folder) {
  TokenConfig config = read_token_config(model_folder);
  check_config(config);
  TokenizerFiles files = read_tokenizer(config);
  reading_values(config.path(), [&] {
    files.clean_up_spaces = config.values.value("clean_up_tokenization_spaces", json()) == true;
  });
  const auto parts = [&] {
    return json{files.tokenizer.value("added_tokens", json::array()),
                files.tokenizer.value("pre_tokenizer", json())};
  };
  reading_values(files.path, [&] {
    const json before = parts();
    const auto model = files.tokenizer.find("model");
    const bool by_spelling = model != files.tokenizer.end() && model->is_object() &&
                             model->value("vocab", json()).is_object();
    if (!by_spelling) return;  // Tokenizer says what is wrong with it
    const json padding = files.tokenizer.value("padding", json());
    if (padding.is_object() && config.tokenizer_class != "Qwen2Tokenizer") {
      config.values.emplace("pad_token", padding.value("pad_token", json()));
    }
    set_prefix_space(files.tokenizer, config);
    files.unlisted = add_tokens(files.tokenizer, config, files.path);
    if (const json after = parts(); after != before) {
      files.hash = hash128_hex(files.hash + '\0' + after.dump());
    }
  });
  return files;
}

std::optional<ChatTemplateFiles> find_chat_template(const fs::path& model_folder) {
  const TokenConfig config = read_token_config(model_folder);
  auto files = reading_values(config.path(), [&] { return find_source(config); });
  if (!files) return files;
  for (const NamedToken& token : config.named_tokens()) {
    const bool always = !token.by_class && (token.name == "bos_token" || token.name == "eos_token");
    if (!always && files->source.find(token.name) == std::string::npos) continue;
    if (token.name == kAdditional) {
      fail(Exit::kEnvironment,
           "'{}': the chat template asks for {}, which this program does not give to templates.",
           files->path.string(), kAdditional);
    }
    files->tokens.emplace(token.name, token.token.content);
  }
  return files;
}

}  // namespace kvcomm
