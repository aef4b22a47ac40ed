// Accuracy in multiple choice: whether an answer names the option that is right.
//
// Answers come as "B", "b) Paris", "The answer is **B**", "A good choice is B". The option that a
// text names is its first letter A to D that is a word by itself, passing over
//   - a small letter, unless it opens a line ("b. Paris"), stands in brackets or marks ("(b)"), or
//     follows a word that announces it ("option b", "the answer is b."), and nothing but
//     punctuation or a word such as "is" or "because" comes behind it
//   - the article: an A with a word behind it on its line, unless that word is one of those
//   - parts of words and abbreviations: "I'd", "B-cells", "D.C."
//   - what is denied ("not A, but B", "it can't be A", "A is wrong") and all of a list with "and"
//   ("both A and B"); of "B or C" it
//     is the first.
#include <algorithm>
#include <array>
#include <optional>

#include "base/unicode.h"
#include "score/metrics.h"

namespace kvcomm {

namespace {

using Text = std::u32string_view;

// A run of characters between white space and punctuation, with what stands between it and its
// neighbours.
struct Word {
  Text text, before, behind;
};

std::vector<Word> words_in(Text text) {
  const auto separates = [](char32_t c) {
    return is_space(c) || is_punctuation(c) || is_ascii_punctuation(c);
  };
  std::vector<Word> words;
  size_t end_before = 0;
  for (auto at = text.begin(); at != text.end();) {
    const auto begin = std::find_if_not(at, text.end(), separates);
    at = std::find_if(begin, text.end(), separates);
    const auto from = static_cast<size_t>(begin - text.begin());
    const Text gap = text.substr(end_before, from - end_before);
    if (!words.empty()) words.back().behind = gap;
    end_before = static_cast<size_t>(at - text.begin());
    if (begin != at) words.push_back({text.substr(from, end_before - from), gap, {}});
  }
  return words;
}

template <size_t n>
bool is_one_of(Text word, const std::array<Text, n>& words) {
  return std::ranges::find(words, Text(lower(word))) != words.end();
}

// Words that an article never has behind it.
constexpr std::array<Text, 22> kBehindAChoice{
    U"is",  U"was",     U"would", U"should", U"must", U"seems", U"and", U"or",
    U"but", U"because", U"since", U"as",     U"for",  U"in",    U"of",  U"the",
    U"a",   U"an",      U"it",    U"i",      U"this", U"that"};

constexpr std::array<Text, 17> kAnnouncing{
    U"answer", U"option", U"choice", U"letter", U"is",  U"s",     U"be",      U"so",      U"choose",
    U"pick",   U"select", U"say",    U"with",   U"for", U"think", U"believe", U"probably"};

constexpr std::array<Text, 4> kDenying{U"not", U"cannot", U"neither", U"nor"};
constexpr std::array<Text, 4> kWrong{U"wrong", U"incorrect", U"false", U"not"};  // "A is ..."

class Choices {
 public:
  explicit Choices(Text text) : words_(words_in(text)) {}

  // The letter of the option, 0: none.
  char32_t first() const {
    std::vector<size_t> letters;
    for (size_t i = 0; i < words_.size(); ++i) {
      if (is_letter(i)) letters.push_back(i);
    }
    for (auto from = letters.begin(); from != letters.end();) {
      bool all_of_them = false;  // "A and B"
      auto to = from + 1;
      for (; to != letters.end(); ++to) {
        const std::optional<bool> with_and = link(to[-1], *to);
        if (!with_and) break;
        all_of_them = all_of_them || *with_and;
      }
      const auto chosen = std::find_if(from, to, [&](size_t i) { return is_chosen(i); });
      if (!all_of_them && chosen != to) return lower(words_[*chosen].text)[0] - U'a' + U'A';
      from = to;
    }
    return U'\0';
  }

 private:
  // A word of one letter A to D that is no article and no part of a longer word.
  bool is_letter(size_t i) const {
    const Word& word = words_[i];
    const char32_t letter = word.text[0] | 0x20;  // small
    if (word.text.size() != 1 || letter < U'a' || letter > U'd') return false;
    const bool joined = (i > 0 && joins(word.before, words_[i - 1].text)) ||
                        (!is_last(i) && joins(word.behind, words_[i + 1].text));
    return !joined && !(letter == U'a' && is_article(i));
  }

  static bool joins(Text gap, Text neighbour) {
    if (gap == U"'" || gap == U"\u2019") return neighbour != U"s";  // "I'd", but "B's the answer"
    if (gap == U"-") return neighbour[0] >= U'a' && neighbour[0] <= U'z';
    return gap == U"." && neighbour.size() == 1;
  }

  bool is_article(size_t i) const {
    const Text gap = words_[i].behind;
    return !is_last(i) && std::ranges::all_of(gap, is_space) && gap.find(U'\n') == Text::npos &&
           !is_one_of(words_[i + 1].text, kBehindAChoice);
  }

  bool is_chosen(size_t i) const {
    const Word& word = words_[i];
    if (is_denied(i)) return false;
    if (word.text[0] < U'a') return true;  // a capital
    const bool opens = i == 0 || word.before.find(U'\n') != Text::npos;
    const bool announced = i > 0 && is_one_of(words_[i - 1].text, kAnnouncing);
    return ((opens || announced) && ends(i)) || is_marked(i);
  }

  bool is_denied(size_t i) const {
    const size_t at = i > 0 && lower(words_[i - 1].text) == U"be" ? i - 1 : i;  // "it can't be A"
    if (at > 0 && (is_one_of(words_[at - 1].text, kDenying) || is_contracted_not(at - 1))) {
      return true;
    }
    if (i + 2 >= words_.size()) return false;
    const bool is = lower(words_[i + 1].text) == U"is" || lower(words_[i + 1].text) == U"was";
    return (is && is_one_of(words_[i + 2].text, kWrong)) || is_contracted_not(i + 2);
  }

  // The "t" of "isn't" and "can't".
  bool is_contracted_not(size_t i) const {
    const Text gap = words_[i].before;
    return i > 0 && lower(words_[i].text) == U"t" && (gap == U"'" || gap == U"\u2019") &&
           lower(words_[i - 1].text).back() == U'n';
  }

  // Whether what follows a small letter lets it be an option: "b. Paris", "b - Paris", "b is
  // right", but not "b - 4ac".
  bool ends(size_t i) const {
    if (is_last(i)) return true;
    const Text behind = words_[i].behind, next = words_[i + 1].text;
    const bool dash = behind.find(U'-') != Text::npos && next.size() > 1 && !is_digit(next[0]);
    return dash || is_one_of(next, kBehindAChoice) ||
           behind.find_first_of(U".,:;!?)]}*\"'`\u2019\u201D\u2013\u2014\n") != Text::npos;
  }

  static bool is_digit(char32_t c) { return c >= U'0' && c <= U'9'; }

  // "(b)", "**b**", but not the call "f(b)".
  bool is_marked(size_t i) const {
    const auto& [text, before, behind] = words_[i];
    if (before.empty() || behind.empty() || (i > 0 && before.size() == 1)) return false;
    return Text(U"([{*\"'`$\u2018\u201C").find(before.back()) != Text::npos &&
           Text(U")]}*\"'`$\u2019\u201D").find(behind.front()) != Text::npos;
  }

  // Whether two letters stand in one list, and if so whether "and" joins them.
  std::optional<bool> link(size_t i, size_t j) const {
    if (j == i + 1) {
      const Text gap = words_[i].behind;
      if (gap.find(U'&') != Text::npos) return true;
      return gap.find_first_of(U",/") != Text::npos ? std::optional(false) : std::nullopt;
    }
    if (j != i + 2) return std::nullopt;
    const std::u32string between = lower(words_[i + 1].text);
    return between == U"and"  ? std::optional(true)
           : between == U"or" ? std::optional(false)
                              : std::nullopt;
  }

  bool is_last(size_t i) const { return i + 1 == words_.size(); }

  std::vector<Word> words_;
};

char32_t option(std::string_view text) {
  const std::u32string characters = decode_utf8(text);
  return Choices(characters).first();
}

}  // namespace

double accuracy(const Compared& texts) {
  const char32_t given = option(texts.answer);
  return given != U'\0' && given == option(texts.expected);
}

}  // namespace kvcomm
