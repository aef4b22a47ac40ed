#include "base/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

namespace kvcomm {

namespace {

utf8proc_category_t look_up_category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// Most characters are ASCII, and each is asked about a dozen times.
utf8proc_category_t category(char32_t c) {
  static const auto ascii = [] {
    std::array<utf8proc_category_t, 0x80> categories{};
    for (char32_t i = 0; i < categories.size(); ++i) categories[i] = look_up_category(i);
    return categories;
  }();
  return c < ascii.size() ? ascii[c] : look_up_category(c);
}

// Unicode's Case_Ignorable: skipped when looking for the letters around a capital sigma.
bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:  // what stands inside words
      return std::u32string_view(
                 U"'.:\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027"
                 U"\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A")
                 .find(c) != std::u32string_view::npos;
  }
}

// Unicode's Cased, for characters that are not case-ignorable.
bool is_cased(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
      return true;
    default:  // ordinal indicators, Roman numerals, letters in circles and squares
      return c == 0xAA || c == 0xBA || (c >= 0x2160 && c <= 0x217F) ||
             (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
             (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  }
}

// A sigma behind a letter and not before one is written in its final form.
bool is_final_sigma(std::u32string_view text, size_t at) {
  const std::u32string_view behind = text.substr(at + 1);
  const auto before = std::find_if_not(text.rbegin() + static_cast<ptrdiff_t>(text.size() - at),
                                       text.rend(), is_case_ignorable);
  const auto after = std::find_if_not(behind.begin(), behind.end(), is_case_ignorable);
  return before != text.rend() && is_cased(*before) && (after == behind.end() || !is_cased(*after));
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string characters;
  characters.reserve(text.size());
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t c = 0;
    const auto left = static_cast<utf8proc_ssize_t>(text.size() - at);
    const utf8proc_ssize_t used = utf8proc_iterate(bytes + at, left, &c);
    characters += used > 0 ? static_cast<char32_t>(c) : U'\uFFFD';
    at += used > 0 ? static_cast<size_t>(used) : 1;
  }
  return characters;
}

std::string encode_utf8(std::u32string_view text) {
  std::string bytes;
  utf8proc_uint8_t encoded[4];
  for (const char32_t c : text) {
    const auto used = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), encoded);
    bytes.append(encoded, encoded + used);
  }
  return bytes;
}

bool is_punctuation(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_ascii_punctuation(char32_t c) { return c > 0x20 && c < 0x7F && (c == '_' || !is_word(c)); }

bool is_space(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return (kind >= UTF8PROC_CATEGORY_ZS && kind <= UTF8PROC_CATEGORY_ZP) || (c >= 0x9 && c <= 0xD) ||
         (c >= 0x1C && c <= 0x1F) || c == 0x85;
}

bool is_word(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO) ||
         (kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO) || c == '_';
}

void append_lower(std::u32string& made, std::u32string_view text, size_t at) {
  const char32_t c = text[at];
  if (c < 0x80) {
    made += c >= U'A' && c <= U'Z' ? c - U'A' + U'a' : c;
  } else if (c == U'\u03A3') {
    made += is_final_sigma(text, at) ? U'\u03C2' : U'\u03C3';
  } else if (c == U'\u0130') {  // the one character whose lower case is two
    made += U"i\u0307";
  } else {
    made += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  }
}

std::u32string lower(std::u32string_view text) {
  std::u32string made;
  made.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) append_lower(made, text, at);
  return made;
}

std::vector<std::u32string> split(std::u32string_view text) {
  std::vector<std::u32string> words;
  for (auto end = text.begin();;) {
    const auto begin = std::find_if_not(end, text.end(), is_space);
    if (begin == text.end()) return words;
    end = std::find_if(begin, text.end(), is_space);
    words.emplace_back(begin, end);
  }
}

std::u32string join_words(const std::vector<std::u32string>& words) {
  std::u32string text;
  for (const std::u32string& word : words) {
    if (!text.empty()) text += U' ';
    text += word;
  }
  return text;
}

}  // namespace kvcomm
