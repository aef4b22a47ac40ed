#include "text/bpe.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <queue>

#include "base/error.h"
#include "base/whole.h"
#include "text/unicode.h"

namespace kvcomm {
namespace {

using nlohmann::json;

// Options of tokenizer.json's BPE that this program has no part of: only these values are the same
// as not having them.
bool has_no_effect(const std::string& option, const json& value) {
  if (value.is_null() || value == false) return true;
  if (option == "dropout") return value == 0.0;
  return (option == "continuing_subword_prefix" || option == "end_of_word_suffix") && value == "";
}

void check_options(const json& model) {
  if (const std::string type = model.value("type", "BPE"); type != "BPE") {
    fail(Exit::kEnvironment, "The tokenizer's model is of type '{}'; this program knows 'BPE'.",
         type);
  }
  // fuse_unk: what is unknown never reaches the merges (see the constructor).
  static constexpr std::array<std::string_view, 6> kRead = {
      "type", "vocab", "merges", "ignore_merges", "unk_token", "fuse_unk"};
  for (const auto& [option, value] : model.items()) {
    if (std::find(kRead.begin(), kRead.end(), option) != kRead.end()) continue;
    if (has_no_effect(option, value)) continue;
    fail(Exit::kEnvironment,
         "The tokenizer's BPE model sets '{}' to {}, which this program does not know.", option,
         value.dump());
  }
}

// A symbol of the word being merged; a list, since merges take symbols out of the middle.
struct Symbol {
  int32_t id;  // -1: merged into the one before it
  int32_t previous, next;
};

struct Candidate {
  int32_t rank, at, id;
  // The queue's top is the smallest rank, leftmost first.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : at > other.at;
  }
};

std::pair<std::string, std::string> read_merge(const json& merge) {
  if (merge.is_array() && merge.size() == 2) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  fail(Exit::kEnvironment, "The tokenizer's merge {} is neither \"a b\" nor [\"a\", \"b\"].",
       merge.dump());
}

}  // namespace

Bpe::Bpe(const json& model) {
  check_options(model);
  for (const auto& [token, id] : model.at("vocab").items())
    vocab_.emplace(token, id.get<Integer<int32_t>>());
  for (int byte = 0; byte < 256; byte++) {
    const auto found = vocab_.find(byte_spelling(static_cast<uint8_t>(byte)));
    byte_ids_[byte] = found == vocab_.end() ? -1 : found->second;
    if (byte_ids_[byte] < 0 && model.contains("unk_token") && !model["unk_token"].is_null()) {
      fail(Exit::kEnvironment,
           "The tokenizer has no token for byte {}, and an unknown token ({}), which this program "
           "does not know.",
           byte, model["unk_token"].dump());
    }
  }
  if (model.value("ignore_merges", false)) {
    for (const auto& [token, id] : vocab_) {
      if (auto bytes = spelt_bytes(token)) words_.emplace(std::move(*bytes), id);
    }
  }
  read_merges(model.at("merges"));
}

void Bpe::read_merges(const json& merges) {
  const auto id_of = [&](const std::string& token) {
    const auto found = vocab_.find(token);
    if (found == vocab_.end()) {
      fail(Exit::kEnvironment,
           "The tokenizer's merges use '{}', which its vocabulary does not have.", token);
    }
    return found->second;
  };
  merges_.reserve(merges.size());
  int32_t rank = 0;
  for (const json& merge : merges) {
    const auto [left, right] = read_merge(merge);
    const uint64_t pair =
        static_cast<uint64_t>(id_of(left)) << 32 | static_cast<uint32_t>(id_of(right));
    merges_[pair] = {rank++, id_of(left + right)};
  }
}

const Bpe::Merge* Bpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Bpe::encode(std::string_view word, std::vector<int64_t>& ids) const {
  if (const auto whole = words_.find(word); whole != words_.end()) {
    ids.push_back(whole->second);
    return;
  }
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (const char byte : word) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(byte)];
    const int32_t at = static_cast<int32_t>(symbols.size());
    if (id >= 0) symbols.push_back({id, at - 1, at + 1});
  }
  const int32_t count = static_cast<int32_t>(symbols.size());

  std::priority_queue<Candidate> queue;
  const auto consider = [&](int32_t at) {
    if (at < 0 || symbols[at].next >= count) return;
    const Merge* merge = find_merge(symbols[at].id, symbols[symbols[at].next].id);
    if (merge != nullptr) queue.push({merge->rank, at, merge->id});
  };
  for (int32_t at = 0; at + 1 < count; at++) consider(at);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.at];
    if (left.id < 0 || left.next >= count) continue;
    const Symbol right = symbols[left.next];
    // A candidate is out of date when one of its two symbols has been merged since.
    const Merge* merge = find_merge(left.id, right.id);
    if (merge == nullptr || merge->id != best.id) continue;
    symbols[left.next].id = -1;
    left.id = best.id;
    left.next = right.next;
    if (right.next < count) symbols[right.next].previous = best.at;
    consider(left.previous);
    consider(best.at);
  }
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
}

}  // namespace kvcomm
