// Whether an answer in sentences contains an accepted answer's words.
#include <algorithm>
#include <set>

#include "score/metrics.h"
#include "score/unicode.h"

namespace kvcomm {

namespace {

// A blank for each punctuation mark: "Anna's" and "Paris-France" hold the words anna and paris.
std::vector<std::u32string> words_of(std::string_view text) {
  std::u32string plain = lower(decode_utf8(text));
  std::replace_if(
      plain.begin(), plain.end(),
      [](char32_t c) { return is_punctuation(c) || is_ascii_punctuation(c); }, U' ');
  return split(plain);
}

}  // namespace

double includes(std::string_view answer, std::span<const std::string> answers) {
  const std::vector<std::u32string> words = words_of(answer);
  const std::set<std::u32string> said(words.begin(), words.end());
  return std::any_of(answers.begin(), answers.end(), [&](const std::string& expected) {
    const std::vector<std::u32string> wanted = words_of(expected);
    return !wanted.empty() && std::all_of(wanted.begin(), wanted.end(),
                                          [&](const auto& word) { return said.contains(word); });
  });
}

}  // namespace kvcomm
