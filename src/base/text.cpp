#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace kvcomm {

namespace {

// Letters put in, left out, changed, or swapped with their neighbour ("rnu").
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  std::iota(rows[0].begin(), rows[0].end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    rows[i][0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows.back().back();
}

}  // namespace

std::string near_miss(std::string_view word, std::span<const std::string> candidates) {
  std::string best;
  size_t best_distance = 2 + word.size() / 4;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> candidates) {
  const std::string near = near_miss(word, candidates);
  return near.empty() ? "" : fmt::format(" Did you mean '{}'?", near);
}

std::string shortest(double value) { return fmt::format("{}", value); }

std::string join(std::span<const std::string> parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string_view strip(std::string_view text, Side side) {
  constexpr std::string_view kSpaces[] = {
      "\t",           "\n",           "\v",           "\f",           "\r",
      "\x1C",         "\x1D",         "\x1E",         "\x1F",         " ",
      "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
      "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
      "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
      "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
  const auto at_front = [&] {
    return std::ranges::find_if(kSpaces, [&](auto space) { return text.starts_with(space); });
  };
  const auto at_back = [&] {
    return std::ranges::find_if(kSpaces, [&](auto space) { return text.ends_with(space); });
  };
  for (auto space = at_front(); side != Side::kRight && space != std::end(kSpaces);
       space = at_front()) {
    text.remove_prefix(space->size());
  }
  for (auto space = at_back(); side != Side::kLeft && space != std::end(kSpaces);
       space = at_back()) {
    text.remove_suffix(space->size());
  }
  return text;
}

}  // namespace kvcomm
