// Unicode's normal form C, and the letters by which byte-level vocabularies spell bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace kvcomm {

// Normal form C. The text must be UTF-8.
std::string to_nfc(std::string_view text);

// The property White_Space.
bool is_white_space(char32_t character);

// How a byte is spelt in a byte-level vocabulary: printable Latin-1 as itself, the others as U+0100
// and following (GPT-2's table).
std::string byte_spelling(uint8_t byte);

// The bytes that a token spells; none if a character of it spells no byte.
std::optional<std::string> spelt_bytes(std::string_view token);

}  // namespace kvcomm
