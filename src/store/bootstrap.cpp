#include "store/bootstrap.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>

namespace kvcomm {

namespace {

constexpr size_t kDraws = 10'000;
constexpr size_t kOutside = kDraws / 40;  // draws beyond each end of a 95 % interval
constexpr size_t kLanes = 8;              // draws that are summed at once, in registers
static_assert(kDraws % kLanes == 0);
constexpr uint64_t kSeed = 0;

// How often each sample is in each of kLanes draws.
using Counts = std::vector<std::array<double, kLanes>>;  // [n]

// A word of the generator gives two places: each half, taken as a fraction of 2^32, times n. The
// bias is below n / 2^32, and no distribution of the standard library, which are not the same
// everywhere, has a part in it.
void draw(std::mt19937_64& random, Counts& counts) {
  std::ranges::fill(counts, Counts::value_type{});
  const uint64_t n = counts.size();
  for (size_t lane = 0; lane < kLanes; ++lane) {
    for (uint64_t i = 0; i < n; i += 2) {
      const uint64_t word = random();
      ++counts[((word >> 32) * n) >> 32][lane];
      if (i + 1 < n) ++counts[((word & 0xffffffff) * n) >> 32][lane];
    }
  }
}

// The differences' sums over kLanes draws, appended.
void add_sums(const Counts& counts, std::span<const double> differences,
              std::vector<double>& sums) {
  double lanes[kLanes] = {};
  const double* count = counts.front().data();
  for (const double difference : differences) {
#pragma GCC unroll 8
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += difference * count[lane];
    count += kLanes;
  }
  sums.insert(sums.end(), lanes, lanes + kLanes);
}

double at_place(std::vector<double>& values, size_t place) {
  const auto found = values.begin() + static_cast<std::ptrdiff_t>(place);
  std::ranges::nth_element(values, found);
  return *found;
}

}  // namespace

std::vector<Interval> bootstrap(std::span<const std::span<const double>> differences) {
  if (differences.empty()) return {};
  const size_t n = differences.front().size();
  std::vector<Interval> intervals(differences.size());
  if (n < 2) return intervals;
  std::mt19937_64 random(kSeed);
  Counts counts(n);
  std::vector<std::vector<double>> sums(differences.size());  // [differences, kDraws]
  for (size_t drawn = 0; drawn < kDraws; drawn += kLanes) {
    draw(random, counts);
    for (size_t i = 0; i < differences.size(); ++i) add_sums(counts, differences[i], sums[i]);
  }
  for (size_t i = 0; i < differences.size(); ++i) {
    intervals[i] = {at_place(sums[i], kOutside) / static_cast<double>(n),
                    at_place(sums[i], kDraws - 1 - kOutside) / static_cast<double>(n)};
  }
  return intervals;
}

}  // namespace kvcomm
