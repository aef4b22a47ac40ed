#include "method/calibration.h"

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "method/sharing.h"

namespace kvcomm {

Calibration::Calibration(int64_t model_layers, const Fidelity& fidelity)
    : rule_{.from = fidelity.importance_from,
            .visible_plus_one = fidelity.importance_mask == ImportanceMask::kVisiblePlusOne},
      sum_(static_cast<size_t>(model_layers), 0.0) {
  std::vector<int> all(sum_.size());
  std::iota(all.begin(), all.end(), 0);
  exchange_ = make_kv_sharing({.full_layers = std::move(all), .first_rows = {}}, Start::kBehind);
}

void Calibration::add(const Batch& received, std::span<const Request> requests) {
  for (const ReceivedSample& arrival : received.arrivals) {
    if (!arrival.failure.empty()) fail(Exit::kSomeFailed, "{}", arrival.failure);
  }
  for (const auto& importance : context_importance(*received.agent().model, requests, rule_)) {
    for (size_t layer = 0; layer < sum_.size(); ++layer) {
      sum_[layer] += importance[layer];
      if (std::isfinite(sum_[layer])) continue;
      fail(Exit::kSomeFailed, "The importance of layer {} is not finite: the weights hold NaN.",
           layer);
    }
    ++samples_;
  }
}

std::vector<double> Calibration::importance() const {
  std::vector<double> mean = sum_;
  for (double& value : mean) value /= static_cast<double>(samples_);
  return mean;
}

}  // namespace kvcomm
