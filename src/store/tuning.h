// Tuning honestly: of a sweep with a grid of settings the best is chosen by some samples and scored
// on others, beside the settings that no one tuned, layers drawn at random and runs of neighbouring
// layers, all of as many layers and so of equal bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/bootstrap.h"
#include "store/results.h"

namespace kvcomm {

// What one is held against, on the samples that the choice did not see.
struct Rival {
  std::string method;  // its label; of several draws without what tells them apart
  double score = kNone;
  double gain = kNone;  // of the chosen over it
  Interval interval;    // of that gain
};

// The choice among the settings of one method that send so many layers.
struct Tuned {
  std::string pair, dataset, variant;
  size_t layers = 0;                 // that each of them sent
  size_t settings = 0, choices = 0;  // that it was chosen from, and sets of layers that they are
  std::string chosen;                // its label
  size_t seen = 0, n = 0;            // samples that it was chosen by, and others
  double seen_score = kNone;         // on the samples that it was chosen by, their standard error
  double seen_error = kNone;
  double score = kNone;  // on the others
  size_t failed = 0;     // rows of all that is compared there, scored 0
  Rival untuned, random, contiguous;
  bool is_smallest = false;  // of the pair and data set's: the fewest layers whose seen score is
                             // within a standard error of the best
};

struct TuningOptions {
  // The first so many samples of the evaluated order choose; 0: the first half of those that all
  // the cells have.
  uint32_t choose_by = 0;
};

// Of all methods whose settings are alpha, mu and sigma; controls, layers by hand and online
// calibration are no settings. Fails (kUsage), naming what the sweep lacks, where a rival of a
// choice is not there or where samples are too few to be split.
std::vector<Tuned> tune(const Results& results, const TuningOptions& options);

}  // namespace kvcomm
