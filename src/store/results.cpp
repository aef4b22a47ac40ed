#include "store/results.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/files.h"
#include "store/h5.h"
#include "store/schema.h"
#include "store/stored.h"

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
  std::unordered_map<std::string, const std::vector<LayerRow>*> layers;
};

ByKey index(const Journals& journals) {
  ByKey by;
  for (const RunJournal& run : journals.runs) {
    for (const SampleRow& row : run.samples) {
      const SampleRow*& chosen = by.rows[row.key][row.sample];
      if (chosen == nullptr || replaces(row, *chosen)) chosen = &row;
      ++by.row_counts[row.key];
    }
    for (const CalibrationRecord& record : run.calibrations) {
      by.calibrations.emplace(record.key, &record);
    }
    for (const CellRecord& cell : run.cells) {
      if (!cell.layers.empty()) by.layers[cell.key] = &cell.layers;
    }
  }
  return by;
}

// The record that each cell is shown by, in the order of /cells.
std::vector<const CellRecord*> shown_cells(const Journals& journals, const ByKey& by) {
  std::vector<CellName> order;
  std::map<CellName, const CellRecord*> shown;
  for (auto run = journals.runs.rbegin(); run != journals.runs.rend(); ++run) {
    for (const CellRecord& cell : run->cells) {
      if (shown.emplace(name_of(cell), nullptr).second) order.push_back(name_of(cell));
    }
    for (auto cell = run->cells.rbegin(); cell != run->cells.rend(); ++cell) {
      const CellRecord*& best = shown[name_of(*cell)];
      if (best == nullptr || (!by.rows.contains(best->key) && by.rows.contains(cell->key))) {
        best = &*cell;
      }
    }
  }
  std::vector<const CellRecord*> cells;
  for (const CellName& name : order) cells.push_back(shown[name]);
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
  for (const SampleRow* row : result.rows) scores.push_back(row->failed ? 0.0 : row->score);
  result.mean = mean_score(scores);
}

}  // namespace

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

Results::Results(Journals from) : journals(std::move(from)) {
  const ByKey by = index(journals);
  std::set<std::string> shown_keys;
  for (const CellRecord* cell : shown_cells(journals, by)) {
    CellResult result{.cell = *cell};
    shown_keys.insert(cell->key);
    if (const auto layers = by.layers.find(cell->key); layers != by.layers.end()) {
      result.cell.layers = *layers->second;
    }
    result.layer_bytes.resize(result.cell.layers.size());
    if (const auto rows = by.rows.find(cell->key); rows != by.rows.end()) {
      add_rows(result, rows->second);
    }
    const auto calibration = by.calibrations.find(cell->calibration_key);
    if (calibration != by.calibrations.end()) result.calibration = calibration->second;
    add_score(result);
    cells.push_back(std::move(result));
  }
  for (const auto& [key, count] : by.row_counts) {
    if (shown_keys.contains(key)) continue;
    ++other_keys;
    other_rows += count;
  }
}

// ---- the file
namespace {

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
          {"fingerprints", text(run.fingerprints)}};
}

// Names and sizes: what changes when a run starts or adds a row.
std::map<fs::path, uintmax_t> listing(const fs::path& output) {
  std::map<fs::path, uintmax_t> sizes;
  for (const fs::path& file : journal_files(output)) {
    std::error_code gone;
    sizes[file] = fs::file_size(file, gone);
  }
  return sizes;
}

}  // namespace

void require_replaceable(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) return;
  if (fs::is_regular_file(path, error) && h5_attribute(path, "schema") == kResultsSchema) return;
  fail(Exit::kUsage,
       "'{}' is there already and is no results file of this program, so it is not replaced: move "
       "it away, or write to another place with --output.",
       path.string());
}

void write_results(const fs::path& path, const Results& results) {
  require_replaceable(path);
  write_file_atomic(path, h5_image(root_attributes(results.journals), tables_of(results)));
}

Results merge(const fs::path& output) {
  constexpr int kPasses = 20;  // while others go on writing; they merge again at their own end
  for (int pass = 1;; ++pass) {
    const auto before = listing(output);
    Results results(read_journals(output));
    write_results(output / "results.h5", results);
    if (pass == kPasses || listing(output) == before) return results;
  }
}

}  // namespace kvcomm
