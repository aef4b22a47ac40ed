#include "text/jinja/strings.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <span>

#include "text/jinja/value.h"
#include "text/unicode.h"

namespace kvcomm::jinja {
namespace {

using Range = std::pair<char32_t, char32_t>;

bool lies_in(char32_t c, std::span<const Range> ranges) {
  return std::ranges::any_of(
      ranges, [c](const Range& range) { return range.first <= c && c <= range.second; });
}

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

// The character's full case folding: "ss" of the sharp s.
std::u32string fold(char32_t c) {
  utf8proc_int32_t folded[8];
  int boundary = 0;
  const auto size = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded, 8,
                                            UTF8PROC_CASEFOLD, &boundary);
  return size > 0 ? std::u32string(folded, folded + size) : std::u32string(1, c);
}

char32_t simple_upper(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}

// A small letter (or one of title case) that folds into several has an upper case of several.
std::u32string full_upper(char32_t c) {
  const std::u32string folded = fold(c);
  if (folded.size() < 2 || category(c) == UTF8PROC_CATEGORY_LU) return {simple_upper(c)};
  std::u32string all;
  for (const char32_t part : folded) all += simple_upper(part);
  return all;
}

std::u32string full_title(char32_t c) {
  const std::u32string folded = fold(c);
  const auto titled = static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
  const bool splits = folded.size() > 1 && category(c) == UTF8PROC_CATEGORY_LL;
  if (!splits || (titled != c && category(titled) == UTF8PROC_CATEGORY_LT)) return {titled};
  if (c == U'\u0149' || folded.back() == U'\u03B9') {
    throw TemplateError(fmt::format("the title case of {} is not followed", encode_utf8({&c, 1})));
  }
  return simple_upper(folded[0]) + folded.substr(1);
}

bool is_cased(char32_t c) {
  return is_upper(c) || is_lower(c) || category(c) == UTF8PROC_CATEGORY_LT;
}

bool breaks_line(char32_t c) {
  return (c >= U'\n' && c <= U'\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_printable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == U' ';
    default:
      return true;
  }
}

std::vector<std::string> split_at_spaces(std::u32string_view text, int64_t most, Side from) {
  std::vector<std::string> parts;
  std::u32string turned(text.rbegin(), text.rend());
  if (from == Side::kRight) text = turned;
  const auto add = [&](std::u32string part) {
    if (from == Side::kRight) std::reverse(part.begin(), part.end());
    parts.push_back(encode_utf8(part));
  };
  for (size_t at = 0;;) {
    while (at < text.size() && is_space(text[at])) ++at;
    if (at == text.size()) break;
    size_t end = at;
    const bool last = most >= 0 && static_cast<int64_t>(parts.size()) == most;
    if (last) end = text.size();
    while (!last && end < text.size() && !is_space(text[end])) ++end;
    add(std::u32string(text.substr(at, end - at)));
    at = last ? text.size() : end;
  }
  if (from == Side::kRight) std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

bool is_alphabetic(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_numeric(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool is_upper(char32_t c) {
  // Other_Uppercase: Roman numerals and letters in circles and squares.
  constexpr Range kOthers[] = {{0x2160, 0x216F},
                               {0x24B6, 0x24CF},
                               {0x1F130, 0x1F149},
                               {0x1F150, 0x1F169},
                               {0x1F170, 0x1F189}};
  return category(c) == UTF8PROC_CATEGORY_LU || lies_in(c, kOthers);
}

bool is_lower(char32_t c) {
  // Other_Lowercase: ordinals, modifier letters, Roman numerals, letters in circles.
  constexpr Range kOthers[] = {
      {0xAA, 0xAA},       {0xBA, 0xBA},       {0x2B0, 0x2B8},     {0x2C0, 0x2C1},
      {0x2E0, 0x2E4},     {0x345, 0x345},     {0x37A, 0x37A},     {0x1D2C, 0x1D6A},
      {0x1D78, 0x1D78},   {0x1D9B, 0x1DBF},   {0x2071, 0x2071},   {0x207F, 0x207F},
      {0x2090, 0x209C},   {0x2170, 0x217F},   {0x24D0, 0x24E9},   {0x2C7C, 0x2C7D},
      {0xA69C, 0xA69D},   {0xA770, 0xA770},   {0xA7F8, 0xA7F9},   {0xAB5C, 0xAB5F},
      {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA}};
  return category(c) == UTF8PROC_CATEGORY_LL || lies_in(c, kOthers);
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string upper(std::string_view text) {
  std::u32string all;
  for (const char32_t c : decode_utf8(text)) all += full_upper(c);
  return encode_utf8(all);
}

std::string lower(std::string_view text) { return encode_utf8(kvcomm::lower(decode_utf8(text))); }

std::string capitalize(std::string_view text) {
  const std::u32string read = decode_utf8(text);
  std::u32string all;
  if (!read.empty()) all = full_title(read[0]);
  for (size_t at = 1; at < read.size(); ++at) append_lower(all, read, at);
  return encode_utf8(all);
}

std::string title(std::string_view text) {
  const std::u32string read = decode_utf8(text);
  std::u32string all;
  for (size_t at = 0; at < read.size(); ++at) {
    if (at > 0 && is_cased(read[at - 1])) {
      append_lower(all, read, at);
    } else {
      all += full_title(read[at]);
    }
  }
  return encode_utf8(all);
}

std::string quoted(std::string_view text) {
  const bool single = text.find('\'') == std::string_view::npos;
  const char32_t mark = single || text.find('"') != std::string_view::npos ? U'\'' : U'"';
  std::string all = encode_utf8({&mark, 1});
  for (const char32_t c : decode_utf8(text)) {
    if (c == mark || c == U'\\') {
      all += '\\';
      all += static_cast<char>(c);
    } else if (c == U'\n' || c == U'\r' || c == U'\t') {
      all += c == U'\n' ? "\\n" : c == U'\r' ? "\\r" : "\\t";
    } else if (is_printable(c)) {
      all += encode_utf8({&c, 1});
    } else {
      const auto code = static_cast<uint32_t>(c);
      all += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    }
  }
  return all + encode_utf8({&mark, 1});
}

std::string strip(std::string_view text, Side side, std::optional<std::string_view> set) {
  if (!set) return std::string(kvcomm::strip(text, side));
  const std::u32string members = decode_utf8(*set);
  const auto goes = [&](char32_t c) { return members.find(c) != std::u32string::npos; };
  while (side != Side::kLeft && !text.empty()) {
    const CharacterAt last = character_before(text, text.size());
    if (!goes(last.value)) break;
    text.remove_suffix(last.size);
  }
  while (side != Side::kRight && !text.empty()) {
    const CharacterAt first = character_at(text, 0);
    if (!goes(first.value)) break;
    text.remove_prefix(first.size);
  }
  return std::string(text);
}

std::vector<std::string> split(std::string_view text, std::optional<std::string_view> separator,
                               int64_t most, Side from) {
  if (!separator) return split_at_spaces(decode_utf8(text), most, from);
  std::vector<std::string> parts;
  while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
    const bool right = from == Side::kRight;
    const size_t at = right ? text.rfind(*separator) : text.find(*separator);
    if (at == std::string_view::npos) break;
    const size_t behind = at + separator->size();
    parts.emplace_back(right ? text.substr(behind) : text.substr(0, at));
    text = right ? text.substr(0, at) : text.substr(behind);
  }
  parts.emplace_back(text);
  if (from == Side::kRight) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  const std::u32string read = decode_utf8(text);
  std::vector<std::string> lines;
  for (size_t at = 0; at < read.size();) {
    size_t end = at;
    while (end < read.size() && !breaks_line(read[end])) ++end;
    size_t next = std::min(end + 1, read.size());
    if (end + 1 < read.size() && read[end] == U'\r' && read[end + 1] == U'\n') ++next;
    lines.push_back(encode_utf8(read.substr(at, (keep_ends ? next : end) - at)));
    at = next;
  }
  return lines;
}

std::string replace(std::string_view text, std::string_view old, std::string_view made,
                    int64_t most) {
  std::string all;
  for (int64_t done = 0; most < 0 || done < most; ++done) {
    // An empty text is found before every character, and at the end.
    const size_t at = text.find(old);
    if (at == std::string_view::npos) break;
    all += text.substr(0, at);
    all += made;
    if (old.empty()) {
      if (text.empty()) return all;
      const size_t size = character_at(text, 0).size;
      all += text.substr(0, size);
      text.remove_prefix(size);
    } else {
      text.remove_prefix(at + old.size());
    }
  }
  return all + std::string(text);
}

}  // namespace kvcomm::jinja
