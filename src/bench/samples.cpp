#include "bench/samples.h"

#include <algorithm>
#include <cmath>

namespace kvcomm::bench {

Seconds percentile(Samples samples, double share) {
  std::ranges::sort(samples);
  const double rank = std::ceil(share * static_cast<double>(samples.size()));
  return samples.at(static_cast<size_t>(std::max(rank, 1.0)) - 1);
}

double spread(const Samples& samples) {
  const auto [shortest, longest] = std::ranges::minmax(samples);
  return (longest - shortest) / median(samples);
}

}  // namespace kvcomm::bench
