#include "store/tuning.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "base/error.h"
#include "store/variants.h"

namespace kvcomm {

namespace {

using Json = nlohmann::json;

// What a cell is to a choice of layers.
enum class Part { kNone, kSetting, kRandom, kContiguous };

Part part_of(const Json& parameters) {
  const auto is_set = [&](const char* name) {
    const Json value = parameters.value(name, Json());
    return !value.is_null() && value != 0;
  };
  if (is_set("control") || is_set("recalibrate_every") || is_set("first_rank")) return Part::kNone;
  if (!parameters.value("layers", Json()).is_null()) return Part::kNone;
  if (parameters.contains("alpha")) return Part::kSetting;
  if (parameters.contains("from") && parameters.contains("to")) return Part::kContiguous;
  const bool draws = parameters.contains("seed") && parameters.contains("ratio");
  return draws ? Part::kRandom : Part::kNone;
}

// Without any of the settings in its label it is what one gets without tuning.
bool is_untuned(const CellRecord& cell) {
  return std::ranges::none_of(std::vector{"alpha=", "mu=", "sigma="}, [&](const char* setting) {
    return cell.method.find(setting) != std::string::npos;
  });
}

// As its rows have it: in the release's fidelity layer 0 is sent whether it was chosen or not.
size_t layers_of(const CellResult& cell) {
  for (const SampleRow* row : cell.rows) {
    if (!row->failed) return row->layers_sent;
  }
  return 0;
}

// Samples by whose importances its layers were chosen, from the first on; 0: by others.
uint32_t calibrated_by(const CellResult& cell) {
  const Json parameters = key_part(cell.cell.key_json, "/parameters");
  if (parameters.value("calibration", "evaluated") == "held_out") return 0;
  return parameters.value("calibration_samples", uint32_t{0});
}

// The cells of a pair and data set that choose layers, by how many they sent.
struct Cells {
  // Those of one method that differ in nothing but the settings are together.
  std::map<std::pair<std::string, size_t>, std::vector<const CellResult*>> settings;
  std::map<size_t, std::vector<const CellResult*>> random, contiguous;
};

// The method and its parameters but for the settings and what says how many layers.
std::string rest_of(const CellRecord& cell, Json parameters) {
  for (const char* name : {"alpha", "mu", "sigma", "ratio", "layer_count"}) parameters.erase(name);
  return Json{key_part(cell.key_json, "/method"), parameters}.dump();
}

using Place = std::tuple<std::string, std::string, std::string>;  // pair, data set, variant

std::vector<std::pair<Place, Cells>> cells_of(const Results& results) {
  std::vector<std::pair<Place, Cells>> all;
  for (const CellResult& result : results.cells) {
    const Json parameters = key_part(result.cell.key_json, "/parameters");
    const size_t layers = layers_of(result);
    const Part part = parameters.is_object() ? part_of(parameters) : Part::kNone;
    if (part == Part::kNone || layers == 0 || result.rows.empty()) continue;
    const Place place{result.cell.pair, result.cell.dataset, result.variant};
    auto found = std::ranges::find(all, place, &std::pair<Place, Cells>::first);
    if (found == all.end()) found = all.insert(all.end(), {place, {}});
    Cells& cells = found->second;
    if (part == Part::kSetting) {
      cells.settings[{rest_of(result.cell, parameters), layers}].push_back(&result);
    }
    if (part == Part::kRandom) cells.random[layers].push_back(&result);
    if (part == Part::kContiguous) cells.contiguous[layers].push_back(&result);
  }
  return all;
}

// ---- samples

using Samples = std::vector<uint32_t>;

void keep_common(Samples& common, const CellResult& cell) {
  std::set<uint32_t> own;
  for (const SampleRow* row : cell.rows) own.insert(row->sample);
  std::erase_if(common, [&](uint32_t sample) { return !own.contains(sample); });
}

// Of those samples, failed ones counting 0.
std::vector<double> scores_on(const CellResult& cell, const Samples& samples) {
  std::vector<double> scores;
  auto wanted = samples.begin();
  for (const SampleRow* row : cell.rows) {
    if (wanted == samples.end()) break;
    if (row->sample != *wanted) continue;
    scores.push_back(score_of(*row));
    ++wanted;
  }
  return scores;
}

struct Split {
  Samples seen, others;
};

// Of equals the first.
const CellResult* best_on(const Samples& samples, const std::vector<const CellResult*>& cells) {
  return std::ranges::max(cells, {}, [&](const CellResult* cell) {
    return mean_score(scores_on(*cell, samples)).score;
  });
}

// How many different sets of layers they chose.
size_t choices_of(const std::vector<const CellResult*>& cells) {
  std::set<std::vector<bool>> chosen;
  for (const CellResult* cell : cells) {
    std::vector<bool> layers;
    for (const LayerRow& layer : cell->cell.layers) layers.push_back(layer.selected);
    chosen.insert(std::move(layers));
  }
  return chosen.size();
}

// ---- one choice

class Choice {
 public:
  Choice(const Place& place, size_t layers, const std::vector<const CellResult*>& settings,
         const Cells& all, const TuningOptions& options)
      : place_(place), layers_(layers), settings_(settings) {
    const auto untuned =
        std::ranges::find_if(settings, [](const auto* one) { return is_untuned(one->cell); });
    if (untuned == settings.end()) lacks("cell that leaves alpha, mu and sigma to their defaults");
    untuned_ = *untuned;
    std::erase(settings_, untuned_);
    settings_.insert(settings_.begin(), untuned_);  // of equals it is the choice
    random_ = rivals(all.random, "random layers (name = \"random\", with that ratio)");
    contiguous_ =
        rivals(all.contiguous, "neighbouring layers (name = \"contiguous\", with sweep_width)");
    for (const auto* cells : {&settings_, &random_, &contiguous_}) {
      compared_.insert(compared_.end(), cells->begin(), cells->end());
    }
    split_ = split(options);
  }

  Tuned tuned() const {
    const CellResult* chosen = best_on(split_.seen, settings_);
    const MeanScore seen = mean_score(scores_on(*chosen, split_.seen));
    const std::vector<double> own = scores_on(*chosen, split_.others);
    return {.pair = std::get<0>(place_),
            .dataset = std::get<1>(place_),
            .variant = std::get<2>(place_),
            .layers = layers_,
            .settings = settings_.size(),
            .choices = choices_of(settings_),
            .chosen = chosen->cell.method,
            .seen = split_.seen.size(),
            .n = split_.others.size(),
            .seen_score = seen.score,
            .seen_error = seen.standard_error,
            .score = mean_score(own).score,
            .failed = failed_on(split_.others),
            .untuned = rival(own, {untuned_}, untuned_->cell.method),
            .random = rival(own, random_, random_name()),
            // Its window is chosen by the same samples.
            .contiguous = rival_window(own)};
  }

 private:
  [[noreturn]] void lacks(const std::string& what) const {
    fail(
        Exit::kUsage,
        "{} on {}: a choice among settings that send {} layers is held against others that send as "
        "many, and the sweep has no {}: add it, and run the sweep again.",
        std::get<0>(place_), std::get<1>(place_), layers_, what);
  }

  std::vector<const CellResult*> rivals(
      const std::map<size_t, std::vector<const CellResult*>>& by_layers, const char* what) const {
    const auto found = by_layers.find(layers_);
    if (found == by_layers.end()) lacks(what);
    return found->second;
  }

  Split split(const TuningOptions& options) const {
    Samples common;
    for (const SampleRow* row : untuned_->rows) common.push_back(row->sample);
    for (const CellResult* cell : compared_) keep_common(common, *cell);
    const size_t half = common.size() / 2;
    const auto first_other = options.choose_by == 0
                                 ? common.begin() + static_cast<std::ptrdiff_t>(half)
                                 : std::ranges::lower_bound(common, options.choose_by);
    Split split{{common.begin(), first_other}, {first_other, common.end()}};
    if (split.seen.size() < 2 || split.others.size() < 2) {
      const CellResult& fewest = **std::ranges::min_element(compared_, {}, &CellResult::n);
      fail(Exit::kUsage,
           "{} on {}: {} samples would choose and {} others score, of {} that all cells of {} "
           "layers have ({} has {}); two each are the least. Run more samples of that, or change "
           "--choose-by.",
           std::get<0>(place_), std::get<1>(place_), split.seen.size(), split.others.size(),
           common.size(), layers_, fewest.cell.method, fewest.n());
    }
    for (const CellResult* cell : settings_) {
      if (calibrated_by(*cell) <= split.others.front()) continue;
      fail(Exit::kUsage,
           "{} on {}: {} measured its importances on the first {} samples, and the samples that "
           "score begin at {}: choose by more (--choose-by), or set calibration = \"held_out\".",
           std::get<0>(place_), std::get<1>(place_), cell->cell.method, calibrated_by(*cell),
           split.others.front());
    }
    return split;
  }

  // Against the mean of some cells on each sample.
  Rival rival(const std::vector<double>& own, const std::vector<const CellResult*>& cells,
              std::string method) const {
    std::vector<double> theirs(own.size(), 0), differences;
    for (const CellResult* cell : cells) {
      const std::vector<double> scores = scores_on(*cell, split_.others);
      for (size_t i = 0; i < scores.size(); ++i) {
        theirs[i] += scores[i] / static_cast<double>(cells.size());
      }
    }
    for (size_t i = 0; i < own.size(); ++i) differences.push_back(own[i] - theirs[i]);
    return {.method = std::move(method),
            .score = mean_score(theirs).score,
            .gain = mean_score(differences).score,
            .interval = bootstrap(std::vector<std::span<const double>>{differences}).front()};
  }

  std::string random_name() const {
    return random_.size() == 1 ? random_.front()->cell.method
                               : fmt::format("the mean of {} draws", random_.size());
  }

  // Rows of these samples without an answer, of all that is compared.
  size_t failed_on(const Samples& samples) const {
    size_t failed = 0;
    for (const CellResult* cell : compared_) {
      failed += static_cast<size_t>(std::ranges::count_if(cell->rows, [&](const SampleRow* row) {
        return row->failed && std::ranges::binary_search(samples, row->sample);
      }));
    }
    return failed;
  }

  Rival rival_window(const std::vector<double>& own) const {
    const CellResult* window = best_on(split_.seen, contiguous_);
    return rival(own, {window}, window->cell.method);
  }

  Place place_;
  size_t layers_;
  std::vector<const CellResult*> settings_, random_, contiguous_;
  std::vector<const CellResult*> compared_;  // all of these
  const CellResult* untuned_ = nullptr;
  Split split_;
};

// Of one method's choices, where there are several.
void mark_smallest(std::span<Tuned> choices) {
  if (choices.size() < 2) return;
  const Tuned& best = *std::ranges::max_element(choices, {}, &Tuned::seen_score);
  const double enough = best.seen_score - best.seen_error;
  const auto smallest =
      std::ranges::find_if(choices, [&](const Tuned& one) { return one.seen_score >= enough; });
  smallest->is_smallest = true;
}

}  // namespace

std::vector<Tuned> tune(const Results& results, const TuningOptions& options) {
  std::vector<Tuned> all;
  for (const auto& [place, cells] : cells_of(results)) {
    for (auto first = cells.settings.begin(); first != cells.settings.end();) {
      const size_t begin = all.size();
      const std::string& method = first->first.first;
      for (; first != cells.settings.end() && first->first.first == method; ++first) {
        const auto& [key, settings] = *first;
        if (settings.size() < 2) continue;  // there is nothing to choose from
        all.push_back(Choice(place, key.second, settings, cells, options).tuned());
      }
      if (all.size() > begin) mark_smallest(std::span(all).subspan(begin));
    }
  }
  if (all.empty()) {
    fail(Exit::kUsage,
         "There is nothing to choose from: no method has several settings (alpha, mu, sigma) of "
         "equally many layers.");
  }
  return all;
}

}  // namespace kvcomm
