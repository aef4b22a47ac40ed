// What `kvcomm plan` prints: what a sweep will do, read and send.
#pragma once

#include <optional>
#include <string>

#include "plan/cost.h"
#include "store/completed.h"

namespace kvcomm {

struct PlanText {
  std::string cells;       // the tables of the cells
  std::string summary;     // the sums
  std::string notes;       // what the marks mean, and what will go wrong
  bool some_fail = false;  // samples whose prompts are too long
};

// rates: how fast a lane is; none: hours are not told.
//
// For each pair and data set a table with a line a cell: samples, how many of them are stored ("?"
// where there are rows and the cell's key is not known), the layers sent, and tokens and payload
// bytes of all samples; then the sums by pair; then what is absent. Tokens come from tokenizer and
// data, "~" where the tokenizer is absent and "?" where the data are; bytes are the closed form of
// both, "up to" where answers or importances decide.
PlanText plan_text(const Plan& plan, const CompletedIndex& stored,
                   const std::optional<Rates>& rates);

}  // namespace kvcomm
