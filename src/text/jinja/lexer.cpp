#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "text/jinja/strings.h"
#include "text/unicode.h"

namespace kvcomm::jinja {
namespace {

using Kind = Token::Kind;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_word(char32_t c) { return c == U'_' || is_alphabetic(c) || is_numeric(c); }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {
    if (source_.ends_with('\n')) source_.remove_suffix(1);
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) read_data();
    add(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void refuse(std::string what) const { throw SyntaxError{std::move(what), line_}; }

  std::string_view rest() const { return source_.substr(at_); }

  // Goes to byte `to` and counts the lines up to there.
  void go_to(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  size_t behind_spaces(size_t from) const {
    while (from < source_.size() && is_space(character_at(source_, from).value)) {
      from += character_at(source_, from).size;
    }
    return from;
  }

  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  // The text up to a tag, without what the tag strips of it. sign: the tag's '-' or '+'.
  void add_data(std::string_view text, char sign, bool is_variable) {
    const bool line_starts = at_ == 0 || source_[at_ - 1] == '\n';
    if (sign == '-') {
      add(Kind::kData, strip(text, Side::kRight, std::nullopt));
      return;
    }
    if (sign != '+' && !is_variable) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      const bool starts = line > 0 || line_starts;
      if (starts && strip(text.substr(line), Side::kBoth, std::nullopt).empty()) {
        text = text.substr(0, line);
      }
    }
    if (!text.empty()) add(Kind::kData, std::string(text));
  }

  // Text and the tag behind it.
  void read_data() {
    size_t tag = at_;
    const auto begins = [&](size_t at) {
      return at + 1 < source_.size() && source_[at] == '{' &&
             (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#');
    };
    while (tag < source_.size() && !begins(tag)) ++tag;
    if (tag == source_.size()) {
      add(Kind::kData, std::string(rest()));
      return go_to(tag);
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const bool has_sign = sign == '-' || sign == '+';
    add_data(source_.substr(at_, tag - at_), sign, kind == '{');
    go_to(tag + 2 + has_sign);
    if (kind == '#') return skip_comment();
    if (kind == '%' && read_raw()) return;
    add(kind == '{' ? Kind::kVariableBegin : Kind::kBlockBegin, "");
    read_tag(kind == '{' ? "}}" : "%}");
  }

  // Where a tag's end ends that starts at `from` ("%}", "-%}", "+%}"), white space that goes with
  // it included; npos where none starts there.
  size_t behind_end(size_t from, std::string_view end) const {
    const bool minus = source_.substr(from).starts_with('-');
    const bool plus = source_.substr(from).starts_with('+') && end != "}}";
    const size_t mark = from + (minus || plus);
    if (!source_.substr(mark).starts_with(end)) return std::string_view::npos;
    const size_t behind = mark + end.size();
    if (minus) return behind_spaces(behind);
    const bool trims = !plus && end != "}}" && source_.substr(behind).starts_with('\n');
    return behind + trims;
  }

  void skip_comment() {
    for (size_t from = at_; from < source_.size(); ++from) {
      if (const size_t behind = behind_end(from, "#}"); behind != std::string_view::npos) {
        return go_to(behind);
      }
    }
    refuse("Missing end of comment tag");
  }

  // The word behind spaces at `from`, with spaces behind it; npos if another stands there.
  size_t behind_word(size_t from, std::string_view word) const {
    const size_t start = behind_spaces(from);
    return source_.substr(start).starts_with(word) ? behind_spaces(start + word.size())
                                                   : std::string_view::npos;
  }

  // {% raw %} up to {% endraw %}, if the block that begins here is one. The newline behind
  // {% raw %} stays.
  bool read_raw() {
    const size_t end = behind_word(at_, "raw");
    if (end == std::string_view::npos) return false;
    const bool minus = source_.substr(end).starts_with("-%}");
    if (!minus && !source_.substr(end).starts_with("%}")) return false;
    go_to(minus ? behind_spaces(end + 3) : end + 2);
    for (size_t tag = at_; (tag = source_.find("{%", tag)) != std::string_view::npos; ++tag) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      const bool has_sign = sign == '-' || sign == '+';
      const size_t word = behind_word(tag + 2 + has_sign, "endraw");
      const size_t behind = word == std::string_view::npos ? word : behind_end(word, "%}");
      if (behind == std::string_view::npos) continue;
      add_data(source_.substr(at_, tag - at_), sign, /*is_variable=*/false);
      go_to(behind);
      return true;
    }
    refuse("Missing end of raw directive");
  }

  void read_tag(std::string_view end) {
    std::string open;  // brackets that wait for their ends
    while (true) {
      const size_t behind = open.empty() ? behind_end(at_, end) : std::string_view::npos;
      if (behind != std::string_view::npos) {
        add(end == "}}" ? Kind::kVariableEnd : Kind::kBlockEnd, "");
        return go_to(behind);
      }
      if (const size_t next = behind_spaces(at_); next > at_) {
        go_to(next);
      } else if (at_ == source_.size()) {
        refuse(fmt::format("unexpected end of template: '{}' is missing",
                           open.empty() ? std::string(end) : open.substr(open.size() - 1)));
      } else if (is_digit(source_[at_])) {
        read_number();
      } else if (is_word(character_at(source_, at_).value)) {
        size_t stop = at_;
        while (stop < source_.size() && is_word(character_at(source_, stop).value)) {
          stop += character_at(source_, stop).size;
        }
        add(Kind::kName, std::string(source_.substr(at_, stop - at_)));
        at_ = stop;
      } else if (source_[at_] == '\'' || source_[at_] == '"') {
        read_string();
      } else {
        read_operator(open);
      }
    }
  }

  size_t behind_digits(size_t from) const {
    while (from < source_.size() && (is_digit(source_[from]) || source_[from] == '_')) ++from;
    return from;
  }

  void read_number() {
    const auto has = [&](size_t at, bool (*what)(char)) {
      return at < source_.size() && what(source_[at]);
    };
    if (source_[at_] == '0' &&
        has(at_ + 1, [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; })) {
      refuse("numbers that are not decimal are not followed");
    }
    size_t end = behind_digits(at_);
    const bool behind_dot = at_ > 0 && source_[at_ - 1] == '.';  // x.0.1 are two places
    bool is_float = false;
    if (!behind_dot && has(end, [](char c) { return c == '.'; }) && has(end + 1, is_digit)) {
      end = behind_digits(end + 1);
      is_float = true;
    }
    if (!behind_dot && has(end, [](char c) { return c == 'e' || c == 'E'; })) {
      const bool sign = has(end + 1, [](char c) { return c == '+' || c == '-'; });
      if (has(end + 1 + sign, is_digit)) {
        end = behind_digits(end + 1 + sign);
        is_float = true;
      }
    }
    std::string text(source_.substr(at_, end - at_));
    std::erase(text, '_');
    add(is_float ? Kind::kFloat : Kind::kInteger, std::move(text));
    at_ = end;
  }

  void read_string() {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != source_[at_])
      end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) refuse("a text's closing quote is missing");
    add(Kind::kString, unescaped(source_.substr(at_ + 1, end - at_ - 1)));
    go_to(end + 1);
  }

  // Python's escapes: \n \x41 \u2581 \101; an unknown one stands for itself.
  std::string unescaped(std::string_view text) const {
    constexpr std::string_view kShort = "\\'\"abfnrtv", kMeant = "\\'\"\a\b\f\n\r\t\v";
    std::string made;
    for (size_t at = 0; at < text.size(); ++at) {
      if (text[at] != '\\') {
        made += text[at];
        continue;
      }
      const char c = text[++at];
      const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
      if (const size_t known = kShort.find(c); known != std::string_view::npos) {
        made += kMeant[known];
      } else if (digits > 0) {
        made += character(text.substr(at + 1, digits), digits, 16);
        at += digits;
      } else if (c >= '0' && c <= '7') {
        size_t size = 1;
        while (size < 3 && at + size < text.size() && text[at + size] >= '0' &&
               text[at + size] <= '7') {
          ++size;
        }
        made += character(text.substr(at, size), size, 8);
        at += size - 1;
      } else if (c == 'N') {
        refuse("characters by name (\\N{...}) are not followed");
      } else if (c != '\n') {
        made += '\\';
        made += c;
      }
    }
    return made;
  }

  std::string character(std::string_view digits, size_t size, int base) const {
    uint32_t code = 0;
    for (const char c : digits) {
      const int digit = is_digit(c) ? c - '0' : (c | 0x20) >= 'a' ? (c | 0x20) - 'a' + 10 : 99;
      if (digit >= base) refuse(fmt::format("'\\{}' is no character", digits));
      code = code * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit);
    }
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    if (digits.size() != size || code > 0x10FFFF || is_surrogate) {
      refuse(fmt::format("'\\{}' is no character", digits));
    }
    const auto made = static_cast<char32_t>(code);
    return encode_utf8({&made, 1});
  }

  void read_operator(std::string& open) {
    constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    const auto two = std::ranges::find(kTwo, rest().substr(0, 2));
    const std::string text(two != std::end(kTwo) ? *two : rest().substr(0, 1));
    if (std::string_view("+-/*%~[](){}><=.:|,;!").find(text[0]) == std::string_view::npos ||
        text == "!") {
      refuse(fmt::format("unexpected char {}",
                         quoted(encode_utf8(std::u32string(1, character_at(source_, at_).value)))));
    }
    constexpr std::string_view kOpen = "{([", kClose = "})]";
    if (const size_t at = kOpen.find(text); at != std::string_view::npos) open += kClose[at];
    if (kClose.find(text) != std::string_view::npos) {
      if (open.empty() || open.back() != text[0]) refuse(fmt::format("unexpected '{}'", text));
      open.pop_back();
    }
    add(Kind::kOperator, text);
    at_ += text.size();
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::string with_plain_newlines(std::string_view source) {
  std::string plain;
  plain.reserve(source.size());
  for (size_t at = 0; at < source.size(); ++at) {
    if (source[at] != '\r') {
      plain += source[at];
    } else if (!source.substr(at + 1).starts_with('\n')) {
      plain += '\n';
    }
  }
  return plain;
}

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace kvcomm::jinja
