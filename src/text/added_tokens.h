// Tokens beside the model's vocabulary (special ones among them), found in a text before anything
// else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"
#include "text/string_map.h"

namespace kvcomm {

struct AddedToken {
  std::string pattern;  // the text that it is found by
  int64_t id = 0;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
};

// A part of a text: a token's, or a text between tokens.
struct Section {
  std::string_view text;
  std::optional<int64_t> id;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // The leftmost, longest first; sections in order, none of them an empty text.
  std::vector<Section> split(std::string_view text) const;

 private:
  std::optional<Regex> any_;
  StringMap<AddedToken> tokens_;  // by pattern
};

}  // namespace kvcomm
