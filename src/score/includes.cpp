// Whether the words of an accepted answer stand in a sentence.
#include <algorithm>
#include <set>

#include "base/unicode.h"
#include "score/metrics.h"

namespace kvcomm {

namespace {

using Words = std::vector<std::u32string>;

// A blank for each punctuation mark: "Anna's" and "Paris-France" hold the words Anna and Paris.
Words words_of(std::u32string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char32_t c) { return is_punctuation(c) || is_ascii_punctuation(c); }, U' ');
  return split(text);
}

}  // namespace

double includes(const Compared& texts) {
  const Words words = words_of(lower(decode_utf8(texts.answer)));
  const std::set<std::u32string> said(words.begin(), words.end());
  const Words wanted = words_of(lower(decode_utf8(texts.expected)));
  return !wanted.empty() &&
         std::ranges::all_of(wanted, [&](const auto& word) { return said.contains(word); });
}

}  // namespace kvcomm
