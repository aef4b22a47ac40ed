// Scores stored answers again, without a model: by another metric or normalisation, or by the
// same ones where the code that scores has changed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "score/score.h"

namespace kvcomm {

struct RescoreOptions {
  std::filesystem::path input, output;        // a run's folder or a results.h5; the file to write
  std::optional<std::string> metric;          // of all cells; none: each cell's own
  Lemmas lemmas = Lemmas::kIfInstalled;       // for the metrics that know them
  std::optional<std::filesystem::path> data;  // the data sets' folder; none: where the run had them
  std::vector<std::string> argv;              // the whole command line, for the results
};

struct RescoredCell {
  std::string pair, dataset, method, metric;
  uint64_t n = 0;
  double before = 0, score = 0, standard_error = 0;  // as in /cells
};

// Writes the input's tables with new scores. Those of a folder are made from its journals, as a
// merge would make them, whatever its results.h5 says (the journals' faults go to the log), or are
// its results.h5's where it has no journals; nothing of it is changed. New are: in /samples score;
// in /cells metric, normalisation, score, standard_error, and key and key_json as a run by that
// metric would have them (in /failures key, likewise); in /scores those by every further metric of
// the data sets; the root attribute `rescored` (JSON) says of which file or journals, when and by
// what. All else stays. Failed samples keep their 0. Accepted answers are read from the data sets
// again. Refused (kUsage): an input that is no results.h5; an output that is the input or its
// folder's results.h5; a data set that is not found, has another fingerprint than the one that was
// answered, or another record in a sample's place; an unknown metric.
std::vector<RescoredCell> rescore(const RescoreOptions& options);

}  // namespace kvcomm
