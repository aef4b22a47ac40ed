// A task to be: samples that miss the same cells, how long they take, and how they are cut.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "plan/effort.h"
#include "plan/plan.h"

namespace kvcomm {

struct Draft {
  bool can_be_cut() const { return attempt == 1 && samples.size() * cells.size() > 1; }

  std::vector<uint32_t> samples;
  std::vector<uint32_t> cells;
  uint32_t attempt = 1;
  Seconds seconds = 0;
};

// A context is read once for all cells that share it.
Seconds seconds_of(const Draft& draft, const Plan& plan, const Effort& effort);

// Its samples or its cells in halves, whichever are done sooner in all: half the samples share the
// steps of a batch no longer with the others, half the cells read the contexts once more. It must
// have two samples or cells.
std::pair<Draft, Draft> halves(const Draft& draft, const Plan& plan, const Effort& effort);

// In parts of at most so many samples.
std::vector<Draft> in_batches(const Draft& draft, size_t most, const Plan& plan,
                              const Effort& effort);

// In front of those that take less.
void insert(Draft draft, std::deque<Draft>& drafts);

}  // namespace kvcomm
