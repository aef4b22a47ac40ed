#include "text/unicode.h"

#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace kvcomm {
namespace {

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
