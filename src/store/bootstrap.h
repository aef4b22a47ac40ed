// The paired bootstrap: how far a mean of differences may lie from what it is of.
#pragma once

#include <span>
#include <vector>

#include "store/rows.h"

namespace kvcomm {

struct Interval {
  double low = kNone, high = kNone;  // kNone: of fewer than two differences nothing is known
};

// The central 95 % of the means over 10,000 draws, of each list of differences between two cells on
// the same samples. All have one length, and share their draws, which depend on that length alone:
// an interval is the same on every machine, whatever others are asked for with it.
std::vector<Interval> bootstrap(std::span<const std::span<const double>> differences);

}  // namespace kvcomm
