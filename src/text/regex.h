// Regular expressions of tokenizer.json (written for Oniguruma, Ruby's syntax), run by PCRE2's JIT.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace kvcomm {

struct TextRange {
  size_t begin, end;  // bytes
};

class Regex {
 public:
  // Fails (kEnvironment) on a pattern with a construct that the two libraries read differently, one
  // that can match nothing at all, or one that PCRE2 cannot compile.
  explicit Regex(std::string_view pattern);

  // A pattern that matches this very text.
  static std::string literal(std::string_view text);

  // The first match that starts at byte `from` of the text or later. The text must be UTF-8.
  std::optional<TextRange> find(std::string_view text, size_t from) const;

 private:
  std::shared_ptr<pcre2_real_code_8> code_;
};

}  // namespace kvcomm
