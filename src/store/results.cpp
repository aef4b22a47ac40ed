#include "store/results.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/files.h"
#include "store/completed.h"
#include "store/results_file.h"
#include "store/schema.h"
#include "store/variants.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

using RowsOfKey = std::map<uint32_t, const SampleRow*>;  // by sample
using CellName = std::tuple<std::string, std::string, std::string>;

CellName name_of(const CellRecord& cell) { return {cell.pair, cell.dataset, cell.method}; }

// Everything that is looked up by a key, from all runs in order.
struct ByKey {
  std::unordered_map<std::string, RowsOfKey> rows;
  std::unordered_map<std::string, size_t> row_counts;  // retries included
  std::unordered_map<std::string, const CalibrationRecord*> calibrations;
  std::unordered_map<std::string, std::map<uint32_t, const RecalibrationRecord*>> recalibrations;
  std::unordered_map<std::string, const std::vector<LayerRow>*> layers;
};

ByKey index(const Journals& journals) {
  ByKey by;
  for (const RunJournal& run : journals.runs) {
    RowsOfKey* rows = nullptr;  // of the row before: a batch's rows have one key
    size_t* count = nullptr;
    const std::string* key = nullptr;
    for (const SampleRow& row : run.samples) {
      if (key == nullptr || row.key != *key) {
        key = &row.key;
        rows = &by.rows[row.key];
        count = &by.row_counts[row.key];
      }
      const SampleRow*& chosen = (*rows)[row.sample];
      if (chosen == nullptr || replaces(row, *chosen)) chosen = &row;
      ++*count;
    }
    for (const CalibrationRecord& record : run.calibrations) {
      by.calibrations.emplace(record.key, &record);
    }
    for (const RecalibrationRecord& record : run.recalibrations) {
      by.recalibrations[record.key].emplace(record.sample, &record);
    }
    for (const CellRecord& cell : run.cells) {
      if (!cell.layers.empty()) by.layers[cell.key] = &cell.layers;
    }
  }
  return by;
}

// The newest record of each key that a cell has had, the newest key first.
using KeysOfCell = std::vector<const CellRecord*>;

// In the order of /cells.
std::vector<KeysOfCell> keys_of_cells(const Journals& journals) {
  std::vector<KeysOfCell> cells;
  std::map<CellName, size_t> places;
  for (auto run = journals.runs.rbegin(); run != journals.runs.rend(); ++run) {
    for (const CellRecord& cell : run->cells) {
      if (places.emplace(name_of(cell), cells.size()).second) cells.emplace_back();
    }
    for (auto cell = run->cells.rbegin(); cell != run->cells.rend(); ++cell) {
      KeysOfCell& keys = cells[places[name_of(*cell)]];
      const auto same = [&](const CellRecord* known) { return known->key == cell->key; };
      if (std::ranges::none_of(keys, same)) keys.push_back(&*cell);
    }
  }
  return cells;
}

void add_rows(CellResult& result, const RowsOfKey& rows) {
  for (const auto& [sample, row] : rows) {
    result.rows.push_back(row);
    if (row->failed) ++result.n_failed;
    for (size_t i = 0; i < result.layer_bytes.size(); ++i) {
      const auto layer = static_cast<size_t>(result.cell.layers[i].layer);
      if (layer < row->layer_bytes.size()) result.layer_bytes[i] += row->layer_bytes[layer];
    }
  }
}

void add_score(CellResult& result) {
  std::vector<double> scores;
  for (const SampleRow* row : result.rows) scores.push_back(score_of(*row));
  for (const RecalibrationRecord* record : result.recalibrations) {
    if (result.cell.recalibration_scored) scores.push_back(record->score);
  }
  result.mean = mean_score(scores);
}

// Every how many samples a cell's layers are chosen anew; 0: never.
int64_t recalibrate_every(const CellRecord& cell) {
  const nlohmann::json every = key_part(cell.key_json, "/parameters/recalibrate_every");
  return every.is_number() ? every.get<int64_t>() : 0;
}

// A choice that failed is known by its samples, which all failed: a crash must not raise a score.
void add_recalibrations(CellResult& result, const ByKey& by) {
  std::map<uint32_t, const RecalibrationRecord*> all;
  if (const auto found = by.recalibrations.find(result.cell.key);
      found != by.recalibrations.end()) {
    all = found->second;
  }
  const int64_t every = recalibrate_every(result.cell);
  std::vector<RecalibrationRecord> lost;
  for (const SampleRow* row : result.rows) {
    if (every == 0 || !row->failed) continue;
    const auto by_sample = static_cast<uint32_t>(row->sample / every * every);
    if (!all.emplace(by_sample, nullptr).second) continue;
    lost.push_back({.key = result.cell.key, .sample = by_sample});
  }
  result.lost = std::make_shared<const std::vector<RecalibrationRecord>>(std::move(lost));
  for (const RecalibrationRecord& record : *result.lost) all[record.sample] = &record;
  for (const auto& [sample, record] : all) result.recalibrations.push_back(record);
}

CellResult make_cell(const CellRecord& cell, const ByKey& by) {
  CellResult result{.cell = cell};
  if (const auto layers = by.layers.find(cell.key); layers != by.layers.end()) {
    result.cell.layers = *layers->second;
  }
  result.layer_bytes.resize(result.cell.layers.size());
  if (const auto rows = by.rows.find(cell.key); rows != by.rows.end()) {
    add_rows(result, rows->second);
  }
  const auto calibration = by.calibrations.find(cell.calibration_key);
  if (calibration != by.calibrations.end()) result.calibration = calibration->second;
  add_recalibrations(result, by);
  add_score(result);
  return result;
}

// Variants of a cell are never called alike.
std::string distinct_variant(const CellRecord& cell, const CellRecord& shown,
                             std::set<std::string>& taken) {
  std::string variant = variant_name(cell.key_json, shown.key_json);
  if (!taken.insert(variant).second) {
    variant += (variant.empty() ? "key=" : ", key=") + cell.key.substr(0, 8);
    taken.insert(variant);
  }
  return variant;
}

}  // namespace

uint64_t CellResult::calibration_bytes() const {
  uint64_t bytes = calibration == nullptr ? 0 : calibration->bytes;
  for (const RecalibrationRecord* record : recalibrations) {
    bytes += record->bytes + record->return_bytes;
  }
  return bytes;
}

double CellResult::calibration_s() const {
  double seconds = calibration == nullptr ? 0 : calibration->seconds;
  for (const RecalibrationRecord* record : recalibrations) seconds += record->seconds;
  return seconds;
}

MeanScore mean_score(std::span<const double> scores) {
  MeanScore mean;
  const auto n = static_cast<double>(scores.size());
  if (n < 1) return mean;
  mean.score = std::accumulate(scores.begin(), scores.end(), 0.0) / n;
  if (n < 2) return mean;
  double squares = 0;
  for (const double score : scores) squares += (score - mean.score) * (score - mean.score);
  mean.standard_error = std::sqrt(squares / (n - 1) / n);
  return mean;
}

Results::Results(Journals from, Keys keys) : journals(std::move(from)) {
  const ByKey by = index(journals);
  const auto has_rows = [&](const CellRecord* cell) { return by.rows.contains(cell->key); };
  std::map<std::string, size_t> missing(by.row_counts.begin(), by.row_counts.end());  // by key
  std::vector<LeftOut> earlier;
  for (const KeysOfCell& records : keys_of_cells(journals)) {
    const auto first = std::ranges::find_if(records, has_rows);
    const CellRecord& shown = first == records.end() ? *records.front() : **first;
    cells.push_back(make_cell(shown, by));
    missing.erase(shown.key);
    std::set<std::string> variants{""};
    for (const CellRecord* cell : records) {
      if (cell == &shown || !has_rows(cell)) continue;
      if (keys == Keys::kAll) {
        cells.push_back(make_cell(*cell, by));
        cells.back().variant = distinct_variant(*cell, shown, variants);
        missing.erase(cell->key);
      } else {
        earlier.push_back(
            {cell, by.row_counts.at(cell->key), difference_text(cell->key_json, shown.key_json)});
      }
    }
  }
  for (const LeftOut& rows : earlier) {
    if (missing.erase(rows.cell->key) > 0) left_out.push_back(rows);
  }
  for (const auto& [key, rows] : missing) left_out.push_back({.rows = rows});
}

std::vector<std::string> left_out_text(const Results& results, size_t most) {
  if (results.left_out.empty()) return {};
  const auto some = [](size_t count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
  };
  const auto& cells = results.cells;
  const bool pairs = std::ranges::any_of(
      cells, [&](const CellResult& cell) { return cell.cell.pair != cells.front().cell.pair; });
  size_t rows = 0;
  for (const LeftOut& left_out : results.left_out) rows += left_out.rows;
  std::vector<std::string> lines{
      fmt::format("{} of {} stay in the journals alone:", some(rows, "row"),
                  some(results.left_out.size(), "other key"))};
  for (const auto& [cell, count, difference] : results.left_out) {
    if (lines.size() > most) {
      lines.push_back(fmt::format("and {} more.", results.left_out.size() - most));
      break;
    }
    lines.push_back(cell == nullptr ? some(count, "row") + " of a key that no cell has"
                                    : fmt::format("{} on {}{}, {}: {}", cell->method, cell->dataset,
                                                  pairs ? " of " + cell->pair : "",
                                                  some(count, "row"), difference));
  }
  return lines;
}

// ---- the file
namespace {

// Of journals' files, what changes when a run starts or adds a row: names and sizes.
using Listing = std::map<std::string, uintmax_t>;

// As they were read.
Listing listing(const Journals& journals) {
  Listing sizes;
  for (const RunJournal& run : journals.runs) sizes[run.file.filename().string()] = run.bytes;
  return sizes;
}

// As they are now.
Listing listing(const fs::path& output) {
  Listing sizes;
  for (const fs::path& file : journal_files(output)) {
    std::error_code gone;
    sizes[file.filename().string()] = fs::file_size(file, gone);
  }
  return sizes;
}

Attributes root_attributes(const Journals& journals) {
  RunRecord run;  // the newest whose record is there
  for (const RunJournal& journal : journals.runs) {
    if (!journal.run.date.empty()) run = journal.run;
  }
  const auto text = [](const auto& value) { return nlohmann::json(value).dump(); };
  return {{"schema", std::string(kResultsSchema)},
          {"schema_version", "1"},
          {"software", "kvcomm"},
          {"software_version", run.commit.empty() ? run.version : run.version + " " + run.commit},
          {"software_dependencies", run.dependencies},
          {"date", run.date},
          {"machine", run.machine},
          {"run_id", run.run_id},
          {"argv", text(run.argv)},
          {"config", run.config},
          {"environment", text(run.environment)},
          {"fingerprints", text(run.fingerprints)},
          {"journals", text(listing(journals))}};
}

}  // namespace

H5Content content_of(const Results& results) {
  return as_stored({root_attributes(results.journals), tables_of(results)});
}

void write_results(const fs::path& path, const Results& results) {
  require_replaceable(path);
  write_file_atomic(path, h5_image(root_attributes(results.journals), tables_of(results)));
}

Results merge(const fs::path& output, Keys keys) {
  constexpr int kPasses = 20;  // while others go on writing; they merge again at their own end
  for (int pass = 1;; ++pass) {
    Results results(read_journals(output), keys);
    write_results(output / (keys == Keys::kAll ? "all.h5" : "results.h5"), results);
    if (pass == kPasses || listing(output) == listing(results.journals)) return results;
  }
}

Results merge_read(const fs::path& output, Journals journals) {
  const fs::path path = output / "results.h5";
  const bool is_theirs = std::ranges::all_of(root_attributes(journals), [&](const auto& attribute) {
    return h5_attribute(path, attribute.first) == attribute.second;
  });
  return is_theirs ? Results(std::move(journals)) : merge(output);
}

}  // namespace kvcomm
