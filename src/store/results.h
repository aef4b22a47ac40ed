// results.h5: what an output folder's journals amount to, as tables. A pure function of the
// journals: the same journals give the same bytes.
//
// Tables (one-dimensional compound datasets that `pandas.DataFrame(f["samples"][:])` reads):
// /samples, /scores, /cells, /layers, /ranks, /failures, /runs. Texts are fixed-length UTF-8,
// null-padded, as long as the longest; only `answer` is variable-length. A NUL character, which
// HDF5 texts cannot hold, is stored as U+FFFD. The dataset attributes `units` and `long_name` are
// arrays of texts, one for each column in order: dict(zip(f["samples"].dtype.names,
// f["samples"].attrs["units"])). Root attributes are texts; argv, environment and fingerprints are
// JSON.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/journal.h"

namespace kvcomm {

// A mean with its standard error, the sample standard deviation / sqrt(n): NaN where there is none,
// of the mean for n = 0, of its error for n < 2.
struct MeanScore {
  double score = kNone, standard_error = kNone;
};
MeanScore mean_score(std::span<const double> scores);

// A row of /cells: the cell under the key that ran last, that is the newest key with a row (the
// newest of all where none has one).
struct CellResult {
  CellRecord cell;                                 // with its layers, where any run knew them
  std::vector<const SampleRow*> rows;              // one a sample, by sample (rule: stored.h)
  const CalibrationRecord* calibration = nullptr;  // shared by all cells of its calibration_key
  uint64_t n_failed = 0;
  MeanScore mean;                     // over n, failed ones counting 0
  std::vector<uint64_t> layer_bytes;  // [cell.layers], summed over rows

  size_t n() const { return rows.size(); }
};

// Cells in the order of the newest run, then those that only older runs had. Pointers go into
// `journals`, so that a Results can be moved, not copied.
struct Results {
  explicit Results(Journals from);
  Results(Results&&) = default;
  Results(const Results&) = delete;

  Journals journals;
  std::vector<CellResult> cells;
  size_t other_keys = 0;  // keys that ran before those shown, and
  size_t other_rows = 0;  // their rows: in the journals, not in the tables
};

// The root attribute `schema` of every file of this kind.
inline constexpr std::string_view kResultsSchema = "kvcomm-results";

// Fails (kUsage) where something lies at the path that is no results file of this program: nothing
// else is ever replaced.
void require_replaceable(const std::filesystem::path& path);

// Writes the tables to path, which is replaced whole or, where that fails (Error), not at all;
// require_replaceable() holds. Not to be called by two threads at once (HDF5).
void write_results(const std::filesystem::path& path, const Results& results);

// Reads all journals of an output folder and writes <output>/results.h5; again where other runs
// have added to the folder meanwhile, so that of several that end together the last to write saw
// all. The caller logs other_rows and journals.faults.
Results merge(const std::filesystem::path& output);

}  // namespace kvcomm
