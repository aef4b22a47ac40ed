// results.h5, and all.h5: what an output folder's journals amount to, as tables. A pure function of
// the journals: the same journals give the same bytes.
//
// Tables (one-dimensional compound datasets that `pandas.DataFrame(f["samples"][:])` reads):
// /samples, /senders, /scores, /questions, /cells, /layers, /recalibrations, /ranks, /failures,
// /runs. Texts are fixed-length
// UTF-8, null-padded, as long as the longest; answers, questions and contexts are variable-length.
// A NUL character, which HDF5 texts cannot hold, is stored as U+FFFD. The dataset attributes
// `units` and `long_name` are arrays of texts, one for each column in order:
// dict(zip(f["samples"].dtype.names, f["samples"].attrs["units"])). Root attributes are texts;
// argv, environment and fingerprints are JSON.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "store/h5.h"
#include "store/journal.h"

namespace kvcomm {

// A mean with its standard error, the sample standard deviation / sqrt(n): NaN where there is none,
// of the mean for n = 0, of its error for n < 2.
struct MeanScore {
  double score = kNone, standard_error = kNone;
};
MeanScore mean_score(std::span<const double> scores);

// What a row counts by the cell's metric: a failed one 0.
inline double score_of(const SampleRow& row) { return row.failed ? 0.0 : row.score; }

// A row of /cells: the cell under the key that ran last, that is the newest key with a row (the
// newest of all where none has one); where all keys are wanted, also the cell under each other key
// that has rows.
struct CellResult {
  CellRecord cell;      // with its layers, where any run knew them
  std::string variant;  // "dtype=float32": what tells it from the key that ran last; "": it is that
  std::vector<const SampleRow*> rows;              // one a sample, by sample (rule: completed.h)
  const CalibrationRecord* calibration = nullptr;  // shared by all cells of its calibration_key
  std::vector<const RecalibrationRecord*> recalibrations;  // by sample
  // Those among them that failed, for which no journal has a record: without layers, and scored 0.
  std::shared_ptr<const std::vector<RecalibrationRecord>> lost;
  uint64_t n_failed = 0;
  // Over n, failed ones counting 0; and over its recalibrations' answers, where they are scored.
  MeanScore mean;
  std::vector<uint64_t> layer_bytes;  // [cell.layers], summed over rows

  size_t n() const { return rows.size(); }
  // What its calibrations sent, both ways, and how long they took.
  uint64_t calibration_bytes() const;
  double calibration_s() const;
};

// Rows that are in the journals, not in the tables.
struct LeftOut {
  const CellRecord* cell = nullptr;  // nullptr: no run's cell has their key
  size_t rows = 0;                   // retries included
  std::string difference;            // "dtype was float32, is bfloat16"
};

// Which of a cell's keys become rows of /cells.
enum class Keys { kNewest, kAll };

// Cells in the order of the newest run, then those that only older runs had, each followed by its
// variants, the newest first. Pointers go into `journals`, so that a Results can be moved, not
// copied.
struct Results {
  explicit Results(Journals from, Keys keys = Keys::kNewest);
  Results(Results&&) = default;
  Results(const Results&) = delete;

  Journals journals;
  std::vector<CellResult> cells;
  std::vector<LeftOut> left_out;
};

// What is left out, in words: how many rows of how many keys, then at most `most` of them a line
// each. Nothing where nothing is.
std::vector<std::string> left_out_text(const Results& results, size_t most = 8);

// Writes the tables to path, which is replaced whole or, where that fails (Error), not at all;
// require_replaceable() (results_file.h) holds. Not to be called by two threads at once (HDF5).
void write_results(const std::filesystem::path& path, const Results& results);

// What read_results (results_file.h) would give back of the file that write_results writes.
H5Content content_of(const Results& results);

// Reads all journals of an output folder and writes <output>/results.h5 (of all keys:
// <output>/all.h5); again where other runs have added to the folder meanwhile, so that of several
// that end together the last to write saw all. The caller logs left_out_text and journals.faults.
Results merge(const std::filesystem::path& output, Keys keys = Keys::kNewest);

// The same where these journals of the folder were just read: if results.h5 was written from the
// very same, it is left alone.
Results merge_read(const std::filesystem::path& output, Journals journals);

}  // namespace kvcomm
