// Rows: their keys, their bytes, and that none contradicts another.
#include <algorithm>
#include <array>
#include <numeric>
#include <unordered_map>

#include "base/hash.h"
#include "sweep/verify_parts.h"

namespace kvcomm {

Check check_keys(Verifying& folder) {
  Check check{.what = "keys of cells, calibrations and rows"};
  const auto check_hash = [&](const RunJournal& run, const auto& record) {
    ++check.checked;
    if (hash128_hex(record.key_json) == record.key) return;
    check.blame([&] {
      return fmt::format("{}: the {}'s key is {}, and its key_json hashes to {}.",
                         folder.places.of(run, record), record.kType, record.key,
                         hash128_hex(record.key_json));
    });
  };
  for (const RunJournal& run : folder.journals.runs) {
    ++check.checked;
    if (run.file.stem() != run.run.run_id) {
      check.blame([&] {
        return fmt::format("{} says that it is the journal of run '{}': a copy under another name.",
                           run.file.string(), run.run.run_id);
      });
    }
    for (const CellRecord& cell : run.cells) check_hash(run, cell);
    for (const CalibrationRecord& record : run.calibrations) check_hash(run, record);
    for (const SampleRow& row : run.samples) {
      ++check.checked;
      if (folder.cells.contains(row.key)) continue;
      check.blame([&] {
        return fmt::format("{}: no cell of any journal has the row's key {}.",
                           folder.places.of(run, row), row.key);
      });
    }
  }
  return check;
}

// ---- bytes
namespace {

// By PayloadKind; those of kLayers go back and are no row's.
constexpr std::array kKinds{&SampleRow::kv_bytes, &SampleRow::token_bytes, &SampleRow::vector_bytes,
                            &SampleRow::hidden_bytes};
constexpr std::array kKindNames{"kv_bytes", "token_bytes", "vector_bytes", "hidden_bytes"};

// Layers by which the samples of a cell were answered: those that all of them share, or for each
// sample those that were chosen anew for it.
class LayersOf {
 public:
  explicit LayersOf(const Journals& journals) {
    for (const RunJournal& run : journals.runs) {
      for (const RecalibrationRecord& record : run.recalibrations) {
        of_run_[{run.file.string(), record.key, record.sample}] = &record.layers;
        first_.emplace(std::pair(record.key, record.sample), &record.layers);
      }
    }
  }

  // Nothing where no journal tells.
  std::optional<std::vector<int>> of(const RunJournal& run, const KnownCell& cell,
                                     const SampleRow& row) {
    if (!shares_layers(cell.spec)) return std::vector<int>();
    if (const auto every = cell.profile.recalibrate_every; every > 0) {
      const auto by = static_cast<uint32_t>(row.sample / every * every);
      const auto own = of_run_.find({run.file.string(), row.key, by});
      if (own != of_run_.end()) return *own->second;
      const auto first = first_.find({row.key, by});
      return first == first_.end() ? std::nullopt : std::optional(*first->second);
    }
    const auto [place, is_new] = of_cell_.try_emplace(row.key);
    if (is_new) place->second = of_all(cell);
    return place->second;
  }

 private:
  static std::optional<std::vector<int>> of_all(const KnownCell& cell) {
    if (!cell.profile.ranks_layers()) return chosen_layers(cell, {});
    if (cell.cell.layers.empty()) return std::nullopt;
    std::vector<int> layers;
    for (const LayerRow& layer : cell.cell.layers) {
      if (layer.selected) layers.push_back(layer.layer);
    }
    return layers;
  }

  std::map<std::tuple<std::string, std::string, uint32_t>, const std::vector<int32_t>*> of_run_;
  std::map<std::pair<std::string, uint32_t>, const std::vector<int32_t>*> first_;
  std::unordered_map<std::string, std::optional<std::vector<int>>> of_cell_;
};

using Differences = std::vector<std::string>;

template <typename Value>
void compare(const std::string& name, Value stored, Value formed, Differences& differences) {
  if (stored == formed) return;
  differences.push_back(fmt::format("{} is {}, and must be {}", name, stored, formed));
}

void compare_layers(const SampleRow& row, const PayloadForm& form, Differences& differences) {
  const size_t layers = std::max(row.layer_bytes.size(), form.layer_bytes.size());
  for (size_t layer = 0; layer < layers; ++layer) {
    const auto bytes_of = [&](const std::vector<uint64_t>& bytes) {
      return layer < bytes.size() ? bytes[layer] : 0;
    };
    compare(fmt::format("layer_bytes[{}]", layer), bytes_of(row.layer_bytes),
            bytes_of(form.layer_bytes), differences);
  }
}

// Of several senders: what the row's columns are sums of.
void compare_senders(const SampleRow& row, const KnownCell& cell, const PayloadForm& form,
                     Differences& differences) {
  const size_t wanted = cell.senders > 1 && cell.kind ? cell.senders : 0;
  compare("the number of its senders", row.senders.size(), wanted, differences);
  if (row.senders.empty() || row.senders.size() != wanted) return;
  const auto sum = [&](uint64_t SenderPart::*member) {
    uint64_t all = 0;
    for (const SenderPart& part : row.senders) all += part.*member;
    return all;
  };
  compare("context_tokens", row.context_tokens, sum(&SenderPart::context_tokens), differences);
  compare("sender_output_tokens", row.sender_output_tokens, sum(&SenderPart::output_tokens),
          differences);
  compare("header_bytes", row.header_bytes, sum(&SenderPart::header_bytes), differences);
  for (size_t s = 0; s < wanted; ++s) {
    compare(fmt::format("payload_bytes of sender {}", s), row.senders[s].payload_bytes,
            form.senders[s], differences);
  }
}

Differences differences_of(const SampleRow& row, const KnownCell& cell, const PayloadForm& form) {
  Differences differences;
  compare("payload_bytes", row.payload_bytes, form.payload, differences);
  for (size_t kind = 0; kind < kKinds.size(); ++kind) {
    const bool is_it = cell.kind && static_cast<size_t>(*cell.kind) == kind;
    compare<uint64_t>(kKindNames[kind], row.*kKinds[kind], is_it ? form.payload : 0, differences);
  }
  if (shares_layers(cell.spec)) {
    compare("layers_sent", row.layers_sent, form.layers_sent, differences);
    compare_layers(row, form, differences);
  } else {
    const uint64_t by_layer =
        std::accumulate(row.layer_bytes.begin(), row.layer_bytes.end(), uint64_t{0});
    compare("the sum of layer_bytes", by_layer, row.kv_bytes, differences);
  }
  compare_senders(row, cell, form, differences);
  if ((row.header_bytes > 0) != cell.kind.has_value()) {
    differences.push_back(fmt::format("header_bytes is {}, and something was {}sent",
                                      row.header_bytes, cell.kind ? "" : "not "));
  }
  return differences;
}

Differences differences_of(const RunJournal& run, const SampleRow& row, const KnownCell& cell,
                           LayersOf& layers) {
  try {
    const auto chosen = layers.of(run, cell, row);
    if (!chosen) return {"no journal tells by which layers it was answered"};
    return differences_of(row, cell, payload_form(cell, row, *chosen));
  } catch (const Error& error) {  // of a choice that no model of this many layers allows
    return {error.what()};
  }
}

}  // namespace

Check check_bytes(Verifying& folder) {
  Check check{.what = "bytes of rows by their methods' closed forms"};
  LayersOf layers(folder.journals);
  for (const RunJournal& run : folder.journals.runs) {
    for (const SampleRow& row : run.samples) {
      const auto found = folder.cells.find(row.key);
      if (found == folder.cells.end()) continue;
      const KnownCell& cell = found->second;
      if (row.failed) {
        ++check.unchecked["a failed attempt may break off anywhere"];
        continue;
      }
      if (!cell.unknown.empty()) {
        ++check.unchecked[cell.unknown];
        continue;
      }
      ++check.checked;
      const Differences differences = differences_of(run, row, cell, layers);
      if (differences.empty()) continue;
      check.blame([&] {
        return fmt::format("{}: {}, sample {}: {}.", folder.places.of(run, row), cell.name,
                           row.sample, fmt::join(differences, "; "));
      });
    }
  }
  return check;
}

// ---- repeats
Check check_repeats(Verifying& folder) {
  Check check{.what = "samples that were answered more than once"};
  struct First {
    const RunJournal* run = nullptr;
    const SampleRow* row = nullptr;
  };
  std::unordered_map<std::string, std::unordered_map<uint32_t, First>> firsts;
  for (const RunJournal& run : folder.journals.runs) {
    for (const SampleRow& row : run.samples) {
      if (row.failed) continue;
      const auto [place, is_new] = firsts[row.key].try_emplace(row.sample, First{&run, &row});
      if (is_new) continue;
      ++check.checked;
      const SampleRow& first = *place->second.row;
      const auto told = [](const SampleRow& of) {
        return std::tie(of.answer, of.score, of.further_scores, of.sample_id, of.payload_bytes);
      };
      if (told(first) == told(row)) continue;
      check.blame([&] {
        return fmt::format(
            "{}: sample {} of the key {} has the answer {} with score {} and {} B, and in {} "
            "{} with {} and {} B.",
            folder.places.of(run, row), row.sample, row.key, in_quotes(row.answer), row.score,
            row.payload_bytes, folder.places.of(*place->second.run, first), in_quotes(first.answer),
            first.score, first.payload_bytes);
      });
    }
  }
  return check;
}

}  // namespace kvcomm
