// How long cells take on a lane, from closed forms at a machine's rates: what comes first in a
// sweep, how its tasks are cut, and what `kvcomm simulate` takes for time.
#pragma once

#include <span>
#include <vector>

#include "base/clock.h"
#include "config/hardware.h"
#include "plan/plan.h"
#include "plan/tokens.h"

namespace kvcomm {

// A sample's exchange in a cell, by end; or a batch's, all of whose samples share the steps.
struct ExchangeSeconds {
  Seconds context = 0;  // a sender's reading of what the batch's other cells use as well
  Seconds sending = 0, sending_steps = 0;  // a sender's other reading; its generating
  Seconds wire = 0;
  Seconds answering = 0, answering_steps = 0;

  Seconds sum() const { return context + own(); }
  Seconds own() const { return sending + sending_steps + wire + answering + answering_steps; }
};

struct Effort {
  // By the cell's id, by sample. A cell that is not there takes a second a sample.
  std::vector<std::vector<ExchangeSeconds>> cells;
  std::vector<Seconds> load_s;  // by pair, of the end that takes longest

  // Of samples of a cell that are answered together.
  ExchangeSeconds batch(const Cell& cell, std::span<const uint32_t> samples) const;
  Seconds load_of(size_t pair) const { return pair < load_s.size() ? load_s[pair] : 0; }
};

// Answers count as long as they may be.
Effort effort_of(const Plan& plan, const Hardware& hardware, TokenCounter& counter);

}  // namespace kvcomm
