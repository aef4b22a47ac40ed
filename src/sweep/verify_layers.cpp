// Which layers were sent: from importances to choices.
#include <algorithm>
#include <set>

#include "method/control.h"
#include "store/variants.h"
#include "sweep/verify_parts.h"

namespace kvcomm {

namespace {

std::string text(const std::vector<int>& layers) {
  return fmt::format("{}", fmt::join(layers, " "));
}

std::vector<double> importance_of(const CellRecord& record) {
  std::vector<double> importance;
  for (const LayerRow& layer : record.layers) importance.push_back(layer.importance);
  return importance;
}

std::vector<int> selected_of(const CellRecord& record) {
  std::vector<int> layers;
  for (const LayerRow& layer : record.layers) {
    if (layer.selected) layers.push_back(layer.layer);
  }
  return layers;
}

// How many tokens the senders read of samples, by what decides it: good rows of cells that share a
// calibration tell, where they were sent their own contexts.
using ContextTokens = std::map<std::string, std::map<uint32_t, uint64_t>>;

bool sends_own_contexts(const KnownCell& cell) {
  return cell.unknown.empty() && shares_layers(cell.spec) &&
         control_of(cell.spec) != Control::kDeranged;
}

ContextTokens context_tokens(const Verifying& folder) {
  ContextTokens tokens;
  for (const RunJournal& run : folder.journals.runs) {
    for (const SampleRow& row : run.samples) {
      const auto cell = folder.cells.find(row.key);
      if (row.failed || cell == folder.cells.end() || !sends_own_contexts(cell->second)) continue;
      tokens[cell->second.cell.calibration_key].emplace(row.sample, row.context_tokens);
      if (cell->second.profile.recalibrate_every > 0) {
        tokens[row.key].emplace(row.sample, row.context_tokens);
      }
    }
  }
  return tokens;
}

// What all layers of some samples' contexts weigh; nothing where a context's length is not known.
std::optional<uint64_t> bytes_of_all_layers(const KnownCell& cell, uint64_t from, uint64_t samples,
                                            const std::map<uint32_t, uint64_t>& tokens) {
  uint64_t sum = 0;
  for (uint64_t sample = from; sample < from + samples; ++sample) {
    const auto known = tokens.find(static_cast<uint32_t>(sample));
    if (known == tokens.end()) return std::nullopt;
    sum += known->second;
  }
  return sum * static_cast<uint64_t>(cell.shape.layers * cell.kv_row());
}

class LayerChecks {
 public:
  explicit LayerChecks(Verifying& folder) : folder_(folder), tokens_(context_tokens(folder)) {
    for (const RunJournal& run : folder.journals.runs) {
      for (const CalibrationRecord& record : run.calibrations) {
        importances_[record.key].insert(record.importance);
      }
    }
    for (const auto& [key, cell] : folder.cells) {
      if (cell.unknown.empty()) by_calibration_.emplace(cell.cell.calibration_key, &cell);
    }
  }

  Check run() {
    for (const RunJournal& run : folder_.journals.runs) {
      check_all(run, run.cells, &LayerChecks::check_choice);
      check_all(run, run.calibrations, &LayerChecks::check_calibration);
      check_all(run, run.recalibrations, &LayerChecks::check_recalibration);
    }
    return std::move(check_);
  }

 private:
  template <typename Record>
  void check_all(const RunJournal& run, const std::vector<Record>& records,
                 void (LayerChecks::*check)(const RunJournal&, const Record&)) {
    for (const Record& record : records) {
      try {
        (this->*check)(run, record);
      } catch (const Error& error) {  // of a choice that these models do not allow
        blame(run, record, "{}", error.what());
      }
    }
  }

  template <typename Record, typename... Args>
  void blame(const RunJournal& run, const Record& record, fmt::format_string<Args...> format,
             Args&&... args) {
    check_.blame([&] {
      return folder_.places.of(run, record) + ": " +
             fmt::format(format, std::forward<Args>(args)...);
    });
  }

  // The cell of a record whose forms are known.
  const KnownCell* known(const std::string& key) {
    const auto found = folder_.cells.find(key);
    if (found == folder_.cells.end()) return nullptr;
    if (found->second.unknown.empty()) return &found->second;
    ++check_.unchecked[found->second.unknown];
    return nullptr;
  }

  void check_choice(const RunJournal& run, const CellRecord& record) {
    const KnownCell* cell = record.layers.empty() ? nullptr : known(record.key);
    if (cell == nullptr) return;
    ++check_.checked;
    const bool ranks = cell->profile.ranks_layers();
    const std::vector<double> importance = ranks ? importance_of(record) : std::vector<double>();
    const auto stored = importances_.find(record.calibration_key);
    if (ranks && (stored == importances_.end() || !stored->second.contains(importance))) {
      blame(run, record, "{}: its importances are those of no calibration with the key {}.",
            cell->name, record.calibration_key);
    }
    const std::vector<int> must = chosen_layers(*cell, importance), are = selected_of(record);
    if (are == must) return;
    blame(run, record, "{}: the layers {} are selected, and must be {}.", cell->name, text(are),
          text(must));
  }

  void check_calibration(const RunJournal& run, const CalibrationRecord& record) {
    const auto found = by_calibration_.find(record.key);
    if (found == by_calibration_.end()) {
      ++check_.unchecked["no cell that is understood needs the calibration"];
      return;
    }
    ++check_.checked;
    const KnownCell& cell = *found->second;
    if (std::ssize(record.importance) != cell.shape.layers) {
      blame(run, record, "the calibration has {} importances, and the models {} layers.",
            record.importance.size(), cell.shape.layers);
    }
    const auto number = [&](const char* name) {
      const nlohmann::json part = key_part(record.key_json, name);
      return part.is_number() ? part.get<uint64_t>() : 0;
    };
    const auto bytes = bytes_of_all_layers(cell, number("/calibration_from"),
                                           number("/calibration_samples"), tokens_[record.key]);
    const auto token = static_cast<uint64_t>(cell.shape.layers * cell.kv_row());
    if (bytes ? record.bytes == *bytes : record.bytes > 0 && record.bytes % token == 0) return;
    blame(run, record, "the calibration sent {} B, and must have sent {}.", record.bytes,
          bytes ? fmt::format("{} B", *bytes) : fmt::format("a multiple of {} B", token));
  }

  void check_recalibration(const RunJournal& run, const RecalibrationRecord& record) {
    const KnownCell* cell = known(record.key);
    if (cell == nullptr) return;
    ++check_.checked;
    const std::vector<int> must = chosen_layers(*cell, record.importance);
    if (record.layers != must) {
      blame(run, record, "{}, chosen anew by sample {}: the layers are {}, and must be {}.",
            cell->name, record.sample, text(record.layers), text(must));
    }
    const auto back = static_cast<uint64_t>(sizeof(int32_t) * must.size() * cell->senders);
    if (record.return_bytes != back) {
      blame(run, record, "{}, chosen anew by sample {}: {} B went back, and must be {} B.",
            cell->name, record.sample, record.return_bytes, back);
    }
    const auto bytes = bytes_of_all_layers(*cell, record.sample, 1, tokens_[record.key]);
    if (!bytes || record.bytes == *bytes) return;
    blame(run, record, "{}, chosen anew by sample {}: {} B were sent, and must be {} B.",
          cell->name, record.sample, record.bytes, *bytes);
  }

  Verifying& folder_;
  ContextTokens tokens_;
  std::map<std::string, std::set<std::vector<double>>> importances_;
  std::map<std::string, const KnownCell*> by_calibration_;
  Check check_{.what = "choices of layers and calibrations"};
};

}  // namespace

Check check_layers(Verifying& folder) { return LayerChecks(folder).run(); }

}  // namespace kvcomm
