// ROUGE-L recall as the Python package `rouge` 1.0.1 gives it ("rouge-l", "r"): the share of the
// accepted answer's different words that stand in a longest common subsequence of one of its
// sentences with one of the answer's.
#include <unordered_map>
#include <unordered_set>

#include "base/unicode.h"
#include "score/metrics.h"

namespace kvcomm {

namespace {

using Word = uint32_t;  // equal words have equal numbers
using Sentence = std::vector<Word>;
using Numbers = std::unordered_map<std::u32string, Word>;

// Sentences end at each full stop, words at white space. What stands between two full stops without
// a word is a sentence of one empty word; between adjacent ones there is none.
std::vector<Sentence> sentences(std::string_view text, Numbers& numbers) {
  const std::u32string characters = decode_utf8(text);
  std::vector<Sentence> found;
  for (size_t from = 0, end = 0; from <= characters.size(); from = end + 1) {
    end = std::min(characters.find(U'.', from), characters.size());
    if (end == from) continue;
    std::vector<std::u32string> words =
        split(std::u32string_view(characters).substr(from, end - from));
    if (words.empty()) words.emplace_back();
    Sentence& sentence = found.emplace_back();
    for (std::u32string& word : words) {
      sentence.push_back(numbers.emplace(std::move(word), numbers.size()).first->second);
    }
  }
  return found;
}

// Adds the words of a longest common subsequence, found from the end, where of two ways that lead
// to equally long ones the one that goes back in y is taken. Only that choice is kept of the table
// of lengths, a bit for each cell.
void add_common_words(const Sentence& x, const Sentence& y, std::unordered_set<Word>& common) {
  const size_t width = y.size() + 1;
  std::vector<bool> back_in_x((x.size() + 1) * width);
  std::vector<uint32_t> above(width), lengths(width);
  for (size_t i = 1; i <= x.size(); ++i) {
    std::swap(above, lengths);
    for (size_t j = 1; j <= y.size(); ++j) {
      back_in_x[i * width + j] = above[j] > lengths[j - 1];
      lengths[j] = x[i - 1] == y[j - 1] ? above[j - 1] + 1 : std::max(above[j], lengths[j - 1]);
    }
  }
  for (size_t i = x.size(), j = y.size(); i > 0 && j > 0;) {
    if (x[i - 1] == y[j - 1]) {
      common.insert(x[i - 1]);
      --i, --j;
    } else if (back_in_x[i * width + j]) {
      --i;
    } else {
      --j;
    }
  }
}

}  // namespace

double rouge_l_recall(const Compared& texts) {
  Numbers numbers;
  const std::vector<Sentence> expected = sentences(texts.expected, numbers);
  const auto different_words = static_cast<double>(numbers.size());
  const std::vector<Sentence> answer = sentences(texts.answer, numbers);
  if (expected.empty() || answer.empty()) return 0;  // where the package raises
  std::unordered_set<Word> common;
  for (const Sentence& x : expected) {
    for (const Sentence& y : answer) add_common_words(x, y, common);
  }
  return static_cast<double>(common.size()) / different_words;
}

}  // namespace kvcomm
