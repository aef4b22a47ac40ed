// Repeated timings of one thing, and what is said of them.
#pragma once

#include <vector>

#include "base/clock.h"

namespace kvcomm::bench {

using Samples = std::vector<Seconds>;  // at least one

// The least sample that such a share of all do not exceed (nearest rank): 0.5 gives the median.
Seconds percentile(Samples samples, double share);

inline Seconds median(const Samples& samples) { return percentile(samples, 0.5); }

// How far the samples lie apart: (longest - shortest) / median.
double spread(const Samples& samples);

}  // namespace kvcomm::bench
