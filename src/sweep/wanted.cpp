#include "sweep/wanted.h"

#include <algorithm>
#include <map>
#include <utility>

namespace kvcomm {

namespace {

// Cells of one pair and data set, of the newest run so far that has them. A later record of a cell
// in that run replaces an earlier one.
struct Group {
  const RunJournal* run = nullptr;
  std::vector<const CellRecord*> cells;

  void add(const RunJournal& of, const CellRecord& cell) {
    if (run != &of) cells.clear();
    run = &of;
    const auto same = std::ranges::find(cells, cell.method, &CellRecord::method);
    if (same == cells.end()) {
      cells.push_back(&cell);
    } else {
      *same = &cell;
    }
  }
};

WantedCell progress_of(const CellRecord& cell, const CompletedIndex& stored) {
  WantedCell wanted{.cell = &cell};
  wanted.uncalibrated =
      !cell.calibration_key.empty() && stored.importance(cell.calibration_key) == nullptr;
  for (uint32_t sample = 0; sample < cell.n_planned; ++sample) {
    if (stored.is_done(cell.key, sample)) {
      ++wanted.done;
    } else if (stored.attempts(cell.key, sample) > 0) {
      wanted.failed.push_back(sample);
    } else {
      wanted.left.push_back(sample);
    }
  }
  return wanted;
}

}  // namespace

std::vector<WantedCell> wanted_cells(const Journals& journals, const CompletedIndex& stored) {
  std::vector<Group> groups;
  std::map<std::pair<std::string, std::string>, size_t> places;
  for (const RunJournal& run : journals.runs) {
    for (const CellRecord& cell : run.cells) {
      const auto [place, is_new] =
          places.emplace(std::pair(cell.pair, cell.dataset), groups.size());
      if (is_new) groups.emplace_back();
      groups[place->second].add(run, cell);
    }
  }
  std::vector<WantedCell> wanted;
  for (const Group& group : groups) {
    for (const CellRecord* cell : group.cells) wanted.push_back(progress_of(*cell, stored));
  }
  return wanted;
}

}  // namespace kvcomm
