// F1 as the release scores it (official_behaviour.md, "F1", points 6 and 14), and exact match of
// the same texts.
#include <algorithm>
#include <set>

#include "base/unicode.h"
#include "score/lemmas.h"
#include "score/metrics.h"

namespace kvcomm {

namespace {

using Words = std::set<std::u32string>;

// Rewrites each longest run of word characters; rewrite(run, what follows it) gives its
// replacement.
template <typename Rewrite>
std::u32string rewrite_words(const std::u32string& text, Rewrite rewrite) {
  std::u32string result;
  for (auto at = text.begin(); at != text.end();) {
    const auto begin = std::find_if(at, text.end(), is_word);
    const auto end = std::find_if_not(begin, text.end(), is_word);
    result.append(at, begin);
    if (begin != end) {
      result += rewrite(std::u32string_view(begin, end), std::u32string_view(end, text.end()));
    }
    at = end;
  }
  return result;
}

std::u32string without_articles(const std::u32string& text) {
  return rewrite_words(text, [](std::u32string_view word, std::u32string_view) {
    return word == U"a" || word == U"an" || word == U"the" ? U" " : word;
  });
}

std::u32string normalise(std::u32string text) {
  text = lower(text);
  std::erase_if(text, is_punctuation);
  text = join_words(split(text));
  std::erase_if(text, is_ascii_punctuation);
  return join_words(split(without_articles(text)));
}

// What nltk's word_tokenize splits where no punctuation is left: contractions without an
// apostrophe. It ignores case in Python's way, for which a dotless i is an i, and wants a blank
// behind "wanna".
std::u32string tokenise(const std::u32string& text) {
  const auto parted = [](std::u32string_view word,
                         std::u32string_view behind) -> std::u32string_view {
    if (word == U"cannot") return U" can not ";
    if (word == U"gimme") return U" gim me ";
    if (word == U"g\u0131mme") return U" g\u0131m me ";
    if (word == U"gonna") return U" gon na ";
    if (word == U"gotta") return U" got ta ";
    if (word == U"lemme") return U" lem me ";
    if (word == U"wanna" && (behind.empty() || is_space(behind[0]))) return U" wan na ";
    return word;
  };
  return join_words(split(rewrite_words(text, parted)));
}

// Each word by itself. The dictionary has ASCII words only.
std::u32string lemmatise(const std::u32string& text, const WordNet& dictionary) {
  std::vector<std::u32string> words = split(text);
  for (std::u32string& word : words) {
    if (std::ranges::any_of(word, [](char32_t c) { return c > 0x7F; })) continue;
    const std::string lemma = dictionary.lemma(std::string(word.begin(), word.end()));
    word.assign(lemma.begin(), lemma.end());
  }
  return join_words(words);
}

// Twice, as the release does: what the first pass makes of a word may itself be an article.
std::u32string compared_text(std::string_view text, const WordNet* lemmas) {
  std::u32string compared = decode_utf8(text);
  for (int pass = 0; pass < 2; ++pass) {
    compared = tokenise(normalise(compared));
    if (lemmas != nullptr) compared = lemmatise(compared, *lemmas);
  }
  return compared;
}

Words words_of(std::string_view text, const WordNet* lemmas) {
  const std::vector<std::u32string> words = split(compared_text(text, lemmas));
  return {words.begin(), words.end()};
}

}  // namespace

std::string f1_text(std::string_view text, const WordNet* lemmas) {
  return encode_utf8(compared_text(text, lemmas));
}

// In floating point as in the usual Python, whose rounding decides where the exact F1 is 0.5.
double f1(const Compared& texts) {
  const Words answer = words_of(texts.answer, texts.lemmas);
  const Words expected = words_of(texts.expected, texts.lemmas);
  const auto shared = static_cast<double>(std::count_if(
      answer.begin(), answer.end(), [&](const auto& word) { return expected.contains(word); }));
  if (shared == 0) return 0;
  const double precision = shared / static_cast<double>(answer.size());
  const double recall = shared / static_cast<double>(expected.size());
  return 2 * precision * recall / (precision + recall);
}

double f1_match(const Compared& texts) { return f1(texts) > 0.5; }

double exact_match(const Compared& texts) {
  const std::u32string answer = compared_text(texts.answer, texts.lemmas);
  return !answer.empty() && answer == compared_text(texts.expected, texts.lemmas);
}

}  // namespace kvcomm
