#include "plan/weights.h"

#include <algorithm>
#include <map>

#include "base/log.h"
#include "method/agent.h"
#include "model/fingerprint.h"
#include "model/safetensors.h"
#include "model/weights.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

struct PlannedWeights {
  std::string fingerprint;  // "": absent or unknown
  bool other_head = false;
};

void warn_of_other_head(const fs::path& folder, bool dropped) {
  spdlog::warn(
      "'{}': config.json ties lm_head to the embeddings (tie_word_embeddings), and the weights "
      "hold an lm_head.weight of other values: {} (fidelity.tie_other_head = {}).",
      folder.string(),
      dropped ? "it is dropped, as by transformers 4.53.3"
              : "it is used and nothing is tied, as by transformers of today",
      dropped);
}

PlannedWeights hashed(Plan& plan, const fs::path& folder, const ModelConfig& config,
                      Hashing hashing) {
  const std::optional<std::string> fingerprint =
      hashing == Hashing::kAll ? weights_fingerprint(folder) : known_fingerprint(folder);
  if (!fingerprint) {
    plan.unhashed.insert(folder);
    return {};
  }
  const bool has_other = WeightFiles(folder, config).has_other_head();
  if (has_other) warn_of_other_head(folder, other_head(plan.fidelity) == OtherHead::kDropped);
  return {.fingerprint = *fingerprint, .other_head = has_other};
}

}  // namespace

void plan_weights(Plan& plan, Absent absent, Hashing hashing) {
  std::map<fs::path, const ModelConfig*> models;  // whose weights are there
  for (const PlannedPair& pair : plan.pairs) {
    if (!pair.has_configs()) continue;
    for (const PlannedModel* model : pair.models()) {
      if (absent == Absent::kRefused || has_weights(model->folder)) {
        models.emplace(model->folder, &model->config);
      }
    }
  }
  for (const auto& [folder, config] : models) WeightFiles(folder, *config);
  std::map<fs::path, PlannedWeights> planned;
  for (const auto& [folder, config] : models)
    planned[folder] = hashed(plan, folder, *config, hashing);
  for (PlannedPair& pair : plan.pairs) {
    const auto take = [&](PlannedModel& model) {
      const PlannedWeights& weights = planned[model.folder];
      model.fingerprint = weights.fingerprint;
      pair.other_head |= weights.other_head;
    };
    std::ranges::for_each(pair.senders, take);
    take(pair.receiver);
  }
}

}  // namespace kvcomm
