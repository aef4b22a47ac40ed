// Where results come from: program, libraries, machine, settings, files.
#pragma once

#include <string>
#include <vector>

#include "store/rows.h"
#include "sweep/plan.h"

namespace kvcomm {

// The first record of a run's journal.
RunRecord describe_run(const Plan& plan, const std::string& run_id,
                       const std::vector<std::string>& argv);

std::string program_version();  // "0.1.0"

}  // namespace kvcomm
