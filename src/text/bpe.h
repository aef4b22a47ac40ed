// Byte pair encoding: a word's bytes are merged pair by pair, the earliest merge of the table
// first.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/string_map.h"

namespace kvcomm {

using TokenIds = StringMap<int32_t>;

class Bpe {
 public:
  // From tokenizer.json's "model". Fails (kEnvironment) on an option that would change ids and is
  // not known.
  explicit Bpe(const nlohmann::json& model);

  // Appends the ids of one word, given by its bytes. Bytes without a token are left out, as the
  // package does where there is no unknown token.
  void encode(std::string_view word, std::vector<int64_t>& ids) const;

  const TokenIds& vocab() const { return vocab_; }

 private:
  struct Merge {
    int32_t rank, id;
  };
  struct PairHash {
    size_t operator()(uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15u) >> 20; }
  };

  void read_merges(const nlohmann::json& merges);
  const Merge* find_merge(int32_t left, int32_t right) const;

  TokenIds vocab_;                                        // by spelling
  TokenIds words_;                                        // by bytes; filled only if ignore_merges
  std::array<int32_t, 256> byte_ids_;                     // -1: no such token
  std::unordered_map<uint64_t, Merge, PairHash> merges_;  // by left id << 32 | right id
};

}  // namespace kvcomm
