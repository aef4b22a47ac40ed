// Keys: hashes of all that decides a cell's answers and calibration, so that what was done once is
// known again.
#pragma once

#include <string>
#include <vector>

#include "sweep/plan.h"

namespace kvcomm {

// The prompts that decide a cell's answers.
std::vector<std::string> prompt_keys(const MethodSpec& spec, const PairConfig& pair);

// Fills in the cell's keys and calibration_samples; where something of its pair or data set is
// absent the keys stay "". Fails (kUsage) where a prompt is missing.
void set_keys(Cell& cell, const Plan& plan, const Prompts& prompts);

}  // namespace kvcomm
