// Calibration: the sender shares all layers, and the receiver measures which of them its attention
// goes to (method.md, "Layer selection").
//
//   sender                              receiver
//   read(C) ── kv of all layers ──▶     importance of each layer over read(Q | kv)
#pragma once

#include <memory>
#include <vector>

#include "method/method.h"

namespace kvcomm {

class Calibration {
 public:
  Calibration(int64_t model_layers, const Fidelity& fidelity);

  // The exchange; its receiving part gives the requests that add() reads.
  const Method& exchange() const { return *exchange_; }

  // Fails (kSomeFailed) where a sample's context did not arrive or an importance is not finite.
  void add(const Batch& received, std::span<const Request> requests);

  // Of each layer, over all samples that were added.
  std::vector<double> importance() const;

 private:
  std::unique_ptr<Method> exchange_;
  ops::ShareRule rule_;
  std::vector<double> sum_;  // [layers]
  int64_t samples_ = 0;
};

}  // namespace kvcomm
