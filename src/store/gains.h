// What communication gains: whether a system answers better than its receiver alone, and whether
// what it sends has a part in that. Scores are compared sample by sample.
//
// G = A(method) - A(receiver alone), the system's gain.
// P = A(matched) - A(control), the content's gain: a control sends something else in a message's
// place and leaves all else as it is. P proper is that of the control "deranged", the message of
// another sample; a method that ignores what it receives has P = 0.
//
// What recalibrations answer has no partner in the other cell and counts in neither, also where a
// cell's score takes it in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/results.h"

namespace kvcomm {

struct Gain {
  std::string pair, dataset, method, variant;  // the cell's whose gain it is
  std::string kind;                            // "G" or "P"
  std::string control;       // of G the cell's own, "" where it sends its own message; of P the
                             // control that the cell is held against
  int64_t control_seed = 0;  // of that control
  size_t n = 0;              // samples that both cells have
  double value = kNone;      // mean over them; a failed one counts 0
  double low = kNone;        // the central 95 % of a paired bootstrap's draws; kNone for n < 2,
  double high = kNone;       // where nothing is known of the spread
};

// What the cell sends in its messages' place: "deranged", "zero", "noise"; "" where nothing.
std::string control_name(const CellRecord& cell);

// In the order of the cells: each one's G, then its P against each control, deranged first. A G
// needs the receiver alone under the same settings, a P equal keys but for the control, both a
// sample that the two cells share; what lacks these is not there. The draws depend on n alone, so
// that a gain's interval is the same on every machine and whatever other cells there are.
std::vector<Gain> gains(const Results& results);

}  // namespace kvcomm
