// Text as UTF-8: whether it is, and its characters.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace kvcomm {

inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Where the first byte stands that breaks UTF-8; none if the text is valid.
std::optional<size_t> find_broken_utf8(std::string_view text);

// The text with U+FFFD for each maximal part that is no UTF-8 (Unicode 3.9, "substitution of
// maximal subparts"; Rust's and Python's way).
std::string replace_broken_utf8(std::string_view bytes);

// The character that starts at byte `at`, or the one that ends before byte `at`. The text must be
// UTF-8.
struct CharacterAt {
  char32_t value;
  size_t size;  // bytes
};
CharacterAt character_at(std::string_view text, size_t at);
CharacterAt character_before(std::string_view text, size_t at);

// Characters of a UTF-8 text.
size_t count_characters(std::string_view text);

}  // namespace kvcomm
