// Edit similarity of a line of code: fuzzywuzzy's ratio where python-Levenshtein is not installed,
// that is difflib.SequenceMatcher's ratio, rounded to a percent (official_behaviour.md, point 17).
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/text.h"
#include "base/unicode.h"
#include "score/metrics.h"

namespace kvcomm {

namespace {

// A run of characters that is at a in one text and at b in the other.
struct Match {
  size_t a = 0, b = 0, size = 0;
};

struct Range {
  size_t a_from = 0, a_to = 0, b_from = 0, b_to = 0;
};

class Matcher {
 public:
  Matcher(const std::u32string& a, const std::u32string& b)
      : a_(a), b_(b), lengths_(b.size() + 1), above_(b.size() + 1) {
    for (size_t j = 0; j < b.size(); ++j) places_[b[j]].push_back(j);
    // No match starts from characters that a long text has too often.
    constexpr size_t kLong = 200;
    if (b.size() < kLong) return;
    std::erase_if(places_,
                  [&](const auto& entry) { return entry.second.size() > b.size() / 100 + 1; });
  }

  // Characters in matching runs: the longest run, then the same to its left and to its right.
  size_t matching() {
    size_t total = 0;
    std::vector<Range> open{{0, a_.size(), 0, b_.size()}};
    while (!open.empty()) {
      const Range range = open.back();
      open.pop_back();
      const Match match = longest(range);
      if (match.size == 0) continue;
      total += match.size;
      open.push_back({range.a_from, match.a, range.b_from, match.b});
      open.push_back({match.a + match.size, range.a_to, match.b + match.size, range.b_to});
    }
    return total;
  }

 private:
  const std::vector<size_t>& places(char32_t c) const {
    static const std::vector<size_t> none;
    const auto found = places_.find(c);
    return found == places_.end() ? none : found->second;
  }

  // The first in a, then in b, of the longest; lengths_[j + 1] is that of the run that ends in b at
  // j, 0 but where the last character of a stands.
  Match longest(const Range& range) {
    Match best{range.a_from, range.b_from, 0};
    for (size_t i = range.a_from; i < range.a_to; ++i) {
      std::swap(above_, lengths_);
      for (const size_t j : places(a_[i])) {
        if (j < range.b_from) continue;
        if (j >= range.b_to) break;
        const size_t size = lengths_[j + 1] = above_[j] + 1;
        if (size > best.size) best = {i + 1 - size, j + 1 - size, size};
      }
      if (i > range.a_from) forget(above_, a_[i - 1]);
    }
    if (range.a_to > range.a_from) forget(lengths_, a_[range.a_to - 1]);
    while (best.a > range.a_from && best.b > range.b_from && a_[best.a - 1] == b_[best.b - 1]) {
      --best.a, --best.b, ++best.size;
    }
    while (best.a + best.size < range.a_to && best.b + best.size < range.b_to &&
           a_[best.a + best.size] == b_[best.b + best.size]) {
      ++best.size;
    }
    return best;
  }

  void forget(std::vector<size_t>& lengths, char32_t c) const {
    for (const size_t j : places(c)) lengths[j + 1] = 0;
  }

  const std::u32string &a_, &b_;
  std::unordered_map<char32_t, std::vector<size_t>> places_;  // in b, ascending
  std::vector<size_t> lengths_, above_;                       // [b's characters + 1]
};

}  // namespace

// The first line that is neither blank nor a comment, after # or between lines that begin and end
// with three quotes (a text that opens and closes in one line hides what follows: the rule is
// RepoBench's own); the first line where there is no such line.
std::string_view first_line_of_code(std::string_view code) {
  code.remove_prefix(std::min(code.find_first_not_of('\n'), code.size()));
  const std::string_view first = code.substr(0, code.find('\n'));
  bool quoted = false;
  while (!code.empty()) {
    const std::string_view line = code.substr(0, code.find('\n'));
    code.remove_prefix(std::min(line.size() + 1, code.size()));
    const std::string_view text = strip(line);
    const bool opens = text.starts_with("\"\"\"") || text.starts_with("'''");
    const bool closes = text.ends_with("\"\"\"") || text.ends_with("'''");
    if (quoted || opens) {
      quoted = !(quoted && closes);
    } else if (!text.empty() && !text.starts_with('#')) {
      return line;
    }
  }
  return first;
}

double edit_similarity(const Compared& texts) {
  const std::u32string answer = decode_utf8(first_line_of_code(texts.answer));
  const std::u32string expected = decode_utf8(texts.expected);
  if (answer.empty() || expected.empty()) return 0;
  if (answer == expected)
    return 1;  // which a Matcher need not find, where it passes over characters
  const auto matching = static_cast<double>(Matcher(answer, expected).matching());
  const double ratio = 2 * matching / static_cast<double>(answer.size() + expected.size());
  return std::nearbyint(100 * ratio) / 100;
}

}  // namespace kvcomm
