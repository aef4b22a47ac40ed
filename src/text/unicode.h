// UTF-8, Unicode's normal form C, and the letters by which byte-level vocabularies spell bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvcomm {

// Where the first byte stands that breaks UTF-8; none if the text is valid.
std::optional<size_t> find_broken_utf8(std::string_view text);

// The text with U+FFFD for each maximal part that is no UTF-8 (Unicode 3.9, "substitution of
// maximal subparts"; Rust's and Python's way).
std::string replace_broken_utf8(std::string_view bytes);

// Normal form C. The text must be UTF-8.
std::string to_nfc(std::string_view text);

// The property White_Space.
bool is_white_space(char32_t character);

// The character that starts at byte `at`, or the one that ends before byte `at`. The text must be
// UTF-8.
struct CharacterAt {
  char32_t value;
  size_t size;  // bytes
};
CharacterAt character_at(std::string_view text, size_t at);
CharacterAt character_before(std::string_view text, size_t at);

// How a byte is spelt in a byte-level vocabulary: printable Latin-1 as itself, the others as U+0100
// and following (GPT-2's table).
std::string byte_spelling(uint8_t byte);

// The bytes that a token spells; none if a character of it spells no byte.
std::optional<std::string> spelt_bytes(std::string_view token);

}  // namespace kvcomm
