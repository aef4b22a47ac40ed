#include "text/unicode.h"

#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace kvcomm {
namespace {

// How the bytes at `at` begin: a whole character, or the longest part of one that could have become
// one.
struct Step {
  size_t size;
  bool whole;
};

Step step(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(at);
  if (lead < 0x80) return {1, true};
  const size_t size = lead >= 0xC2 && lead <= 0xDF   ? 2
                      : (lead & 0xF0) == 0xE0        ? 3
                      : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                     : 0;
  if (size == 0) return {1, false};
  // The second byte's range keeps out overlong forms, surrogates and what lies above U+10FFFF.
  uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < size; i++) {
    if (at + i == text.size() || byte(at + i) < low || byte(at + i) > high) return {i, false};
    low = 0x80, high = 0xBF;
  }
  return {size, true};
}

// U+0100 and following spell the bytes that are not printable Latin-1, in their order.
std::array<uint16_t, 256> make_spellings() {
  std::array<uint16_t, 256> spellings{};
  uint16_t next = 256;
  for (int byte = 0; byte < 256; byte++) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    spellings[byte] = printable ? static_cast<uint16_t>(byte) : next++;
  }
  return spellings;
}

// spelling -> byte, -1 where a character spells none.
std::array<int16_t, 324> make_bytes() {
  std::array<int16_t, 324> bytes;
  bytes.fill(-1);
  const auto spellings = make_spellings();
  for (int byte = 0; byte < 256; byte++) bytes[spellings[byte]] = static_cast<int16_t>(byte);
  return bytes;
}

}  // namespace

std::optional<size_t> find_broken_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Step next = step(text, at);
    if (!next.whole) return at;
    at += next.size;
  }
  return std::nullopt;
}

std::string replace_broken_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Step next = step(bytes, at);
    text += next.whole ? bytes.substr(at, next.size) : "\uFFFD";
    at += next.size;
  }
  return text;
}

std::string to_nfc(std::string_view text) {
  utf8proc_uint8_t* made = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &made,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(made, &std::free);
  if (size < 0) {
    fail(Exit::kInternal, "Normal form C of {} bytes of text failed: {}.", text.size(),
         utf8proc_errmsg(size));
  }
  return {reinterpret_cast<const char*>(made), static_cast<size_t>(size)};
}

bool is_white_space(char32_t character) {
  if ((character >= '\t' && character <= '\r') || character == 0x85) return true;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(character));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

CharacterAt character_at(std::string_view text, size_t at) {
  utf8proc_int32_t value = 0;
  const utf8proc_ssize_t size =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                       static_cast<utf8proc_ssize_t>(text.size() - at), &value);
  return {static_cast<char32_t>(value), static_cast<size_t>(size)};
}

CharacterAt character_before(std::string_view text, size_t at) {
  do at--;
  while ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  return character_at(text, at);
}

std::string byte_spelling(uint8_t byte) {
  static const auto spellings = make_spellings();
  const uint16_t character = spellings[byte];
  if (character < 0x80) return {static_cast<char>(character)};
  return {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 0x3F))};
}

std::optional<std::string> spelt_bytes(std::string_view token) {
  static const auto bytes = make_bytes();
  std::string spelt;
  for (size_t at = 0; at < token.size();) {
    const auto [character, size] = character_at(token, at);
    if (character >= bytes.size() || bytes[character] < 0) return std::nullopt;
    spelt += static_cast<char>(bytes[character]);
    at += size;
  }
  return spelt;
}

}  // namespace kvcomm
