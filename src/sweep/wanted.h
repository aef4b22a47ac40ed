// What an output folder is to hold, and how far it is.
#pragma once

#include <cstdint>
#include <vector>

#include "store/completed.h"
#include "store/journal.h"

namespace kvcomm {

struct WantedCell {
  const CellRecord* cell = nullptr;  // of the run that wants it
  uint64_t done = 0;                 // samples with an answer
  std::vector<uint32_t> failed;      // tried, without an answer so far
  std::vector<uint32_t> left;        // not tried
  bool uncalibrated = false;         // it waits for a calibration that is not stored
};

// The cells that are wanted: of each pair and data set those of the newest run that had them. So
// runs that share a folder, each with its own pairs, are wanted together. Pairs and data sets come
// in the order in which they began. The cells' records are the journals' own.
std::vector<WantedCell> wanted_cells(const Journals& journals, const CompletedIndex& stored);

}  // namespace kvcomm
