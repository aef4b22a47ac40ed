// Which layers are sent: from a ratio, importances and a prior, from a seed, or by hand. Numbers
// only, no tensors; the same input gives the same layers on every machine. Layers count from 0.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "select/fidelity.h"

namespace kvcomm {

// Score = alpha * importance + (1 - alpha) * Gaussian over the layers (method.md, "Which layers").
struct Prior {
  double alpha = 1;   // in [0, 1]
  double mu = 0.5;    // the centre, as a fraction of the depth
  double sigma = 10;  // the width in layers, > 0
};

// One choice; every vector has an entry for each layer.
struct LayerChoice {
  std::vector<double> importance;  // as given, not normalised; NaN where the policy has none
  std::vector<double> prior;       // NaN where the policy has none
  std::vector<double> score;       // NaN where the policy has none
  std::vector<int> rank;  // place in the policy's order, 0 first; -1: it gave the layer no place
  std::vector<bool> selected;

  std::vector<int> layers() const;  // the selected ones, ascending
};

// How many of `layers` layers a ratio stands for; a ratio outside (0, 1] is refused (kUsage).
// May be 0 with kFloor, never with kCeil.
int layer_count(double ratio, int layers, const Fidelity& fidelity);

// KVComm: the layer_count() best scores; importance has one value per layer, min-max normalised for
// the score (flat: zeros). Of equal scores the higher layer goes first, as in the release, which
// reverses numpy's argsort; where that sorts equals unstably (it depends on the processor) it is
// not imitated. An importance that is no finite number is refused (kInternal).
LayerChoice choose_by_importance(std::span<const double> importance, double ratio,
                                 const Prior& prior, const Fidelity& fidelity, int first_rank = 0);

// The same with a number of layers in the ratio's place, from `first_rank` on: the best so many are
// passed over. What reaches beyond the model's layers is refused (kUsage).
LayerChoice choose_best(std::span<const double> importance, int count, const Prior& prior,
                        const Fidelity& fidelity, int first_rank = 0);

// Random: the first layer_count() of a uniformly drawn order of all layers, so that with one seed a
// smaller ratio's layers are among a larger one's.
LayerChoice choose_at_random(uint64_t seed, double ratio, int layers, const Fidelity& fidelity);

// Contiguous: layers from .. to, both included. Refused (kUsage) outside 0 .. layers-1 or with from
// > to.
LayerChoice choose_contiguous(int from, int to, int layers);

// By hand. An empty list, a layer outside the model and one named twice are refused (kUsage).
LayerChoice choose_given(std::span<const int> given, int layers);

}  // namespace kvcomm
