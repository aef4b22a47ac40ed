// What a plan's cells take of its models: floating-point operations, and hours at some rates.
#pragma once

#include <span>
#include <string>

#include "method/cost.h"
#include "plan/plan.h"

namespace kvcomm {

// Of samples of a cell whose pair's configurations are known.
SampleCost sample_cost(const Plan& plan, const Cell& cell);

// The work of some samples of a cell, of all its ends together.
struct CellWork {
  double flops = 0;
  double read_flops = 0;     // of them those of reading prompts, many tokens at once
  double weights_bytes = 0;  // that steps behind prompts read, once a step and sample

  CellWork& operator+=(const CellWork& other);
  friend CellWork operator*(double share, const CellWork& of) {
    return {share * of.flops, share * of.read_flops, share * of.weights_bytes};
  }
};
CellWork cell_work(const Plan& plan, const Cell& cell, std::span<const SampleTokens> samples);

// How fast a machine's lane is at that, its ends one after the other.
struct Rates {
  double flops_per_s = 0;  // while prompts are read
  double bytes_per_s = 0;  // of weights, once for each token; a batch reads them once for all
  std::string source;      // where they come from, in words
};
double seconds_at(const Rates& rates, const CellWork& work);

}  // namespace kvcomm
