#include "base/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>

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

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace kvcomm
