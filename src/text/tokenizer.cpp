#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <deque>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/whole.h"
#include "text/model_folder.h"
#include "text/unicode.h"

namespace kvcomm {
namespace {

using nlohmann::json;

std::string type_of(const json& component) {
  return component.is_null() ? "null" : component.value("type", "");
}

void check_root(const json& root) {
  static constexpr std::array<std::string_view, 9> kKnown = {
      "version",       "truncation",     "padding", "added_tokens", "normalizer",
      "pre_tokenizer", "post_processor", "decoder", "model"};
  for (const auto& [key, value] : root.items()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
      fail(Exit::kEnvironment, "It has a component '{}', which this program does not know.", key);
    }
  }
}

// Whether a text is brought to normal form C first.
bool read_normalizer(const json& component) {
  const std::string type = type_of(component);
  if (type == "null") return false;
  if (type == "NFC") return true;
  if (type != "Sequence") {
    fail(Exit::kEnvironment,
         "It has a normalizer of type '{}'; this program knows NFC and Sequence.", type);
  }
  bool nfc = false;
  for (const json& part : component.at("normalizers")) nfc |= read_normalizer(part);
  return nfc;
}

// How many ByteLevel steps there are: exactly one turns spellings into bytes.
int count_byte_levels(const json& decoder) {
  const std::string type = type_of(decoder);
  if (type == "ByteLevel") return 1;
  if (type != "Sequence") {
    fail(Exit::kEnvironment,
         "It has a decoder of type '{}'; this program knows ByteLevel and Sequence.", type);
  }
  int count = 0;
  for (const json& part : decoder.at("decoders")) count += count_byte_levels(part);
  return count;
}

void check_decoder(const json& decoder) {
  if (const int count = count_byte_levels(decoder); count != 1) {
    fail(Exit::kEnvironment, "Its decoder has {} ByteLevel steps; this program knows one.", count);
  }
}

// A TemplateProcessing's tokens before and after the text.
struct Around {
  std::vector<int64_t> before, after;
};

Around read_template(const json& component) {
  Around around;
  int texts = 0;
  for (const json& piece : component.at("single")) {
    if (piece.contains("Sequence")) {
      texts++;
      continue;
    }
    const std::string name = piece.at("SpecialToken").at("id");
    auto& side = texts == 0 ? around.before : around.after;
    for (const json& id : component.at("special_tokens").at(name).at("ids")) {
      side.push_back(id.get<Integer<int64_t>>());
    }
  }
  if (texts != 1) {
    fail(Exit::kEnvironment,
         "Its TemplateProcessing puts the text {} times; this program knows once.", texts);
  }
  return around;
}

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& model_folder) {
  const TokenizerFiles files = read_tokenizer_files(model_folder);
  try {
    return Tokenizer(files);
  } catch (const Error& error) {
    throw Error(error.exit(), fmt::format("'{}': {}", files.path.string(), error.what()),
                error.where());
  } catch (const json::exception& error) {
    fail(Exit::kEnvironment, "'{}' is no tokenizer.json as this program knows it: {}.",
         files.path.string(), error.what());
  }
}

Tokenizer::Tokenizer(const TokenizerFiles& files)
    : hash_(files.hash),
      cleans_up_spaces_(files.clean_up_spaces),
      unlisted_(files.unlisted),
      nfc_(read_normalizer(files.tokenizer.value("normalizer", json()))),
      pre_tokenizer_(files.tokenizer.value("pre_tokenizer", json())),
      model_(files.tokenizer.at("model")) {
  const json& root = files.tokenizer;
  check_root(root);
  check_decoder(root.value("decoder", json()));
  for (const auto& [spelling, id] : model_.vocab()) {
    token_at(id).bytes = spelt_bytes(spelling).value_or(spelling);
  }
  read_added_tokens(root.value("added_tokens", json::array()));
  read_post_processor(root.value("post_processor", json()));
}

Tokenizer::Token& Tokenizer::token_at(int64_t id) {
  constexpr int64_t kMaxId = 1 << 24;  // far above any vocabulary there is
  if (id < 0 || id > kMaxId) {
    fail(Exit::kEnvironment, "It has a token with the id {}; ids are from 0 to {}.", id, kMaxId);
  }
  if (id >= vocab_size()) tokens_.resize(id + 1);
  return tokens_[id];
}

void Tokenizer::read_added_tokens(const json& list) {
  std::vector<AddedToken> as_written, as_normalized;
  for (const json& entry : list) {
    const std::string content = entry.at("content");
    if (content.empty()) continue;  // as the package does
    const int32_t id = entry.at("id").get<Integer<int32_t>>();
    const bool normalized = entry.at("normalized");
    const auto in_model = model_.vocab().find(content);
    Token& token = token_at(id);
    const auto added = added_ids_.find(content);  // with other fields
    const bool again = added != added_ids_.end() && added->second == id;
    const bool taken =
        in_model == model_.vocab().end() ? !token.bytes.empty() : in_model->second != id;
    if (taken && !again) {
      fail(Exit::kEnvironment,
           "Its added token '{}' has the id {}, which its vocabulary has otherwise.", content, id);
    }
    const std::string pattern = normalized && nfc_ ? to_nfc(content) : content;
    token = {spelt_bytes(pattern).value_or(pattern), entry.at("special")};
    added_ids_.emplace(content, id);
    (normalized ? as_normalized : as_written)
        .push_back({pattern, id, entry.at("single_word"), entry.at("lstrip"), entry.at("rstrip")});
  }
  added_as_written_ = AddedTokens(std::move(as_written));
  added_as_normalized_ = AddedTokens(std::move(as_normalized));
}

void Tokenizer::read_post_processor(const json& component) {
  const std::string type = type_of(component);
  if (type == "null" || type == "ByteLevel") return;  // ByteLevel's concerns offsets only
  if (type == "Sequence") {
    for (const json& part : component.at("processors")) read_post_processor(part);
  } else if (type == "TemplateProcessing") {
    const Around around = read_template(component);
    prefix_.insert(prefix_.begin(), around.before.begin(), around.before.end());
    suffix_.insert(suffix_.end(), around.after.begin(), around.after.end());
  } else {
    fail(Exit::kEnvironment,
         "It has a post-processor of type '{}'; this program knows ByteLevel, TemplateProcessing "
         "and Sequence.",
         type);
  }
}

std::vector<int64_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  if (const auto broken = find_broken_utf8(text)) {
    fail(Exit::kUsage, "A text to be encoded is not UTF-8: its byte {} of {} breaks it.", *broken,
         text.size());
  }
  std::vector<int64_t> ids = add_special_tokens ? prefix_ : std::vector<int64_t>();
  StringMap<std::pair<size_t, size_t>> seen;  // a word -> its ids' place in `ids`
  const auto encode_words = [&](std::string_view section) {
    std::deque<std::string> made;
    for (const std::string_view word : pre_tokenizer_.split(section, made)) {
      if (const auto known = seen.find(word); known != seen.end()) {
        const auto [begin, end] = known->second;
        for (size_t i = begin; i < end; i++) ids.push_back(ids[i]);
        continue;
      }
      const size_t begin = ids.size();
      model_.encode(word, ids);
      seen.emplace(word, std::pair(begin, ids.size()));
    }
  };
  for (const Section& written : added_as_written_.split(text)) {
    if (written.id) {
      ids.push_back(*written.id);
      continue;
    }
    const std::string normalized = nfc_ ? to_nfc(written.text) : std::string(written.text);
    for (const Section& section : added_as_normalized_.split(normalized)) {
      if (section.id) {
        ids.push_back(*section.id);
      } else {
        encode_words(section.text);
      }
    }
  }
  if (add_special_tokens) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int64_t> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (const int64_t id : ids) {
    if (id < 0 || id >= vocab_size()) continue;
    const Token& token = tokens_[id];
    if (!(skip_special_tokens && token.special)) bytes += token.bytes;
  }
  return replace_broken_utf8(bytes);
}

std::optional<int64_t> Tokenizer::id_of(std::string_view token) const {
  if (const auto added = added_ids_.find(token); added != added_ids_.end()) return added->second;
  const auto found = model_.vocab().find(token);
  return found == model_.vocab().end() ? std::nullopt : std::optional<int64_t>(found->second);
}

std::optional<Tokenizer::Difference> Tokenizer::first_difference(const Tokenizer& other,
                                                                 Sort sort) const {
  std::optional<Difference> first;
  int64_t first_id = 0;
  const auto look = [&](const Tokenizer& from) {
    for (const auto& [token, id] : sort == Sort::kAdded ? from.added_ids_ : from.model_.vocab()) {
      if (sort == Sort::kOrdinary && from.added_ids_.contains(token)) continue;
      const auto here = id_of(token), there = other.id_of(token);
      if (here == there || (first && first_id <= id)) continue;
      first = {token, here, there};
      first_id = id;
    }
  };
  look(*this);
  look(other);
  return first;
}

std::string clean_up_spaces(std::string text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kReplaced = {
      {{" .", "."},
       {" ?", "?"},
       {" !", "!"},
       {" ,", ","},
       {" ' ", "'"},
       {" n't", "n't"},
       {" 'm", "'m"},
       {" 's", "'s"},
       {" 've", "'ve"},
       {" 're", "'re"}}};
  for (const auto& [from, to] : kReplaced) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

}  // namespace kvcomm
