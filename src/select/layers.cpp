#include "select/layers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

#include "base/error.h"

namespace kvcomm {

namespace {

LayerChoice no_layers(int layers) {
  if (layers < 1) fail(Exit::kUsage, "A model with {} layers has none to choose from.", layers);
  const auto n = static_cast<size_t>(layers);
  const std::vector<double> none(n, std::numeric_limits<double>::quiet_NaN());
  return {.importance = none,
          .prior = none,
          .score = none,
          .rank = std::vector<int>(n, -1),
          .selected = std::vector<bool>(n, false)};
}

// Gives each layer its place in the order and selects the first `count`.
void select_first(std::span<const int> order, int count, LayerChoice& choice, int from = 0) {
  for (int place = 0; place < std::ssize(order); ++place) {
    const auto layer = static_cast<size_t>(order[place]);
    choice.rank[layer] = place;
    choice.selected[layer] = place >= from && place < from + count;
  }
}

void require_layer(int layer, int layers) {
  if (layer >= 0 && layer < layers) return;
  fail(Exit::kUsage, "Layer {} is outside the model, whose {} layers are 0 to {}.", layer, layers,
       layers - 1);
}

void require_prior(const Prior& prior) {
  if (!(prior.alpha >= 0 && prior.alpha <= 1)) {
    fail(Exit::kUsage, "alpha = {} is outside [0, 1]: it weighs importance against the prior.",
         prior.alpha);
  }
  if (!std::isfinite(prior.mu)) {
    fail(Exit::kUsage, "mu = {} is no number: give a fraction of the depth, such as 0.5.",
         prior.mu);
  }
  if (!(prior.sigma > 0 && std::isfinite(prior.sigma))) {
    fail(Exit::kUsage, "sigma = {} is no width: give a number of layers above 0, such as 10.",
         prior.sigma);
  }
}

std::vector<double> min_max(std::vector<double> values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double least = *low, range = *high - *low;
  for (double& value : values) value = range < 1e-9 ? 0 : (value - least) / range;
  return values;
}

std::vector<double> gaussian(int layers, const Prior& prior, const Fidelity& fidelity) {
  const bool plain = fidelity.prior == PriorShape::kPlain;
  const double centre = prior.mu * (plain ? layers : layers - 1);
  std::vector<double> values(static_cast<size_t>(layers));
  for (int layer = 0; layer < layers; ++layer) {
    const double distance = layer - centre;
    values[layer] = std::exp(-distance * distance / (2 * prior.sigma * prior.sigma));
  }
  return plain ? values : min_max(std::move(values));
}

// Uniform in 0 .. bound-1. Not std::uniform_int_distribution, whose numbers differ between
// libraries.
uint64_t draw_below(uint64_t bound, std::mt19937_64& random) {
  const uint64_t surplus =
      -bound % bound;  // 2^64 mod bound: the lowest draws, which would be favoured
  uint64_t drawn = random();
  while (drawn < surplus) drawn = random();
  return drawn % bound;
}

}  // namespace

std::vector<int> LayerChoice::layers() const {
  std::vector<int> chosen;
  for (size_t layer = 0; layer < selected.size(); ++layer) {
    if (selected[layer]) chosen.push_back(static_cast<int>(layer));
  }
  return chosen;
}

int layer_count(double ratio, int layers, const Fidelity& fidelity) {
  if (!(ratio > 0 && ratio <= 1)) {
    fail(Exit::kUsage,
         "ratio = {} is outside (0, 1]: give the share of layers to send, such as 0.5.", ratio);
  }
  if (fidelity.layer_count == LayerRounding::kFloor) return static_cast<int>(ratio * layers);
  return std::max(1, static_cast<int>(std::ceil(ratio * layers - 1e-9)));
}

LayerChoice choose_by_importance(std::span<const double> importance, double ratio,
                                 const Prior& prior, const Fidelity& fidelity, int first_rank) {
  const int layers = static_cast<int>(importance.size());
  return choose_best(importance, layer_count(ratio, layers, fidelity), prior, fidelity, first_rank);
}

LayerChoice choose_best(std::span<const double> importance, int count, const Prior& prior,
                        const Fidelity& fidelity, int first_rank) {
  require_prior(prior);
  const int layers = static_cast<int>(importance.size());
  LayerChoice choice = no_layers(layers);
  if (count < 0 || count > layers) {
    fail(Exit::kUsage, "layer_count = {} cannot be taken from a model of {} layers.", count,
         layers);
  }
  if (first_rank < 0 || first_rank > layers - count) {
    fail(Exit::kUsage, "first_rank = {} leaves no {} layers of the model's {}: {} is the last.",
         first_rank, count, layers, layers - count);
  }
  for (int layer = 0; layer < layers; ++layer) {
    if (std::isfinite(importance[layer])) continue;
    fail(Exit::kInternal, "The importance of layer {} is {}: layers cannot be ranked by it.", layer,
         importance[layer]);
  }
  choice.importance.assign(importance.begin(), importance.end());
  choice.prior = gaussian(layers, prior, fidelity);
  choice.score = min_max(choice.importance);
  for (size_t layer = 0; layer < importance.size(); ++layer) {
    choice.score[layer] =
        prior.alpha * choice.score[layer] + (1 - prior.alpha) * choice.prior[layer];
  }
  std::vector<int> order(importance.size());
  std::iota(order.rbegin(), order.rend(), 0);  // the higher layer first; kept among equals
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return choice.score[a] > choice.score[b]; });
  select_first(order, count, choice, first_rank);
  return choice;
}

LayerChoice choose_at_random(uint64_t seed, double ratio, int layers, const Fidelity& fidelity) {
  LayerChoice choice = no_layers(layers);
  const int count = layer_count(ratio, layers, fidelity);
  std::mt19937_64 random(seed);
  std::vector<int> order(static_cast<size_t>(layers));
  std::iota(order.begin(), order.end(), 0);
  for (size_t left = order.size(); left > 1; --left) {
    const size_t place = order.size() - left;
    std::swap(order[place], order[place + draw_below(left, random)]);
  }
  select_first(order, count, choice);
  return choice;
}

LayerChoice choose_contiguous(int from, int to, int layers) {
  LayerChoice choice = no_layers(layers);
  require_layer(from, layers);
  require_layer(to, layers);
  if (from > to) {
    fail(Exit::kUsage, "from = {} lies behind to = {}: no layer is between them.", from, to);
  }
  std::vector<int> order(static_cast<size_t>(to - from + 1));
  std::iota(order.begin(), order.end(), from);
  select_first(order, static_cast<int>(order.size()), choice);
  return choice;
}

LayerChoice choose_given(std::span<const int> given, int layers) {
  LayerChoice choice = no_layers(layers);
  if (given.empty()) {
    fail(Exit::kUsage, "layers is empty: name at least one layer, or give a ratio in its place.");
  }
  for (const int layer : given) {
    require_layer(layer, layers);
    if (choice.selected[layer]) fail(Exit::kUsage, "Layer {} is named twice in layers.", layer);
    choice.selected[layer] = true;
  }
  select_first(given, static_cast<int>(given.size()), choice);
  return choice;
}

}  // namespace kvcomm
