#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cctype>

#include "base/error.h"

namespace kvcomm {
namespace {

std::string error_text(int code) {
  std::array<char, 256> text{};
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text.data()), text.size());
  return text.data();
}

// Turns Oniguruma's spelling into PCRE2's where the two differ, and refuses what has no
// counterpart.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string translate() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_character(c);
      } else if (c == '[') {
        open_class();
      } else {
        if (c == '(' && peek(1) == '*') refuse("(*");
        if (c == '(' && peek(1) == '?') check_group();
        if (c == '}' && (peek(1) == '+' || peek(1) == '?')) refuse(pattern_.substr(at_, 2));
        copy(1);
      }
    }
    return out_;
  }

 private:
  char peek(size_t ahead) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }

  void copy(size_t count) {
    out_ += pattern_.substr(at_, count);
    at_ += count;
  }

  [[noreturn]] void refuse(std::string_view what) const {
    fail(Exit::kEnvironment,
         "The regular expression '{}' has '{}', which this program does not know.", pattern_, what);
  }

  // PCRE2's \s also takes U+180E, which is no white space since Unicode 6.3.
  void escape() {
    constexpr std::string_view kSpace = "\\t-\\r\\x{85}\\p{Z}";
    const char c = peek(1);
    if (c == 's' || (c == 'S' && !in_class_)) {
      out_ += in_class_ ? std::string(kSpace) : fmt::format("[{}{}]", c == 'S' ? "^" : "", kSpace);
      at_ += 2;
    } else if ((c == 'p' || c == 'P' || c == 'x') && peek(2) == '{') {
      const size_t end = pattern_.find('}', at_);
      if (end == std::string_view::npos) refuse(pattern_.substr(at_));
      copy(end + 1 - at_);
    } else if (std::string_view("rntfvdD").find(c) != std::string_view::npos ||
               std::ispunct(static_cast<unsigned char>(c))) {
      copy(2);
    } else {
      refuse(pattern_.substr(at_, 2));
    }
  }

  void open_class() {
    in_class_ = true;
    copy(peek(1) == '^' ? 2 : 1);
    if (peek(0) == ']') refuse("[]");
  }

  void class_character(char c) {
    if (c == '[' || (c == '&' && peek(1) == '&')) refuse(pattern_.substr(at_, 2));
    in_class_ = c != ']';
    copy(1);
  }

  // Groups without options, looking ahead and behind, atomic ones, and "ignore case".
  void check_group() const {
    for (const std::string_view known :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)"}) {
      if (pattern_.substr(at_).starts_with(known)) return;
    }
    refuse(pattern_.substr(at_, 4));
  }

  std::string_view pattern_;
  size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

// Matching needs a place for its result: one for each thread.
pcre2_match_data* thread_match_data() {
  thread_local const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  return data.get();
}

// No limit on the work: a text may be long, and patterns that explode are not among those in use.
pcre2_match_context* unlimited() {
  thread_local const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)>
      context(
          [] {
            pcre2_match_context* made = pcre2_match_context_create(nullptr);
            pcre2_set_match_limit(made, UINT32_MAX);
            pcre2_set_heap_limit(made, UINT32_MAX);
            return made;
          }(),
          &pcre2_match_context_free);
  return context.get();
}

}  // namespace

Regex::Regex(std::string_view pattern) {
  const std::string translated = Translator(pattern).translate();
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE where = 0;
  // Ruby's ^ and $ stand at every line.
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &where, context.get()),
              &pcre2_code_free);
  if (code_ == nullptr) {
    fail(Exit::kEnvironment,
         "The regular expression '{}' cannot be compiled: {} at byte {} of '{}'.", pattern,
         error_text(code), where, translated);
  }
  uint32_t matches_empty = 0;
  pcre2_pattern_info(code_.get(), PCRE2_INFO_MATCHEMPTY, &matches_empty);
  if (matches_empty != 0) {
    fail(Exit::kEnvironment,
         "The regular expression '{}' can match nothing at all, which splits no text.", pattern);
  }
  if (const int jit = pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE); jit != 0) {
    fail(Exit::kEnvironment, "The regular expression '{}' cannot be compiled to machine code: {}.",
         pattern, error_text(jit));
  }
}

std::string Regex::literal(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::ispunct(static_cast<unsigned char>(c))) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

std::optional<TextRange> Regex::find(std::string_view text, size_t from) const {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  pcre2_match_data* data = thread_match_data();
  int found = pcre2_jit_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK, data,
                              unlimited());
  if (found ==
      PCRE2_ERROR_JIT_STACKLIMIT) {  // a very long match: the interpreter works on the heap
    found = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                        data, unlimited());
  }
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) {
    fail(Exit::kInternal, "Matching a regular expression on {} bytes of text failed: {}.",
         text.size(), error_text(found));
  }
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data);
  return TextRange{range[0], range[1]};
}

}  // namespace kvcomm
