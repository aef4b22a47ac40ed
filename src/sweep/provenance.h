// Where results come from: program, libraries, machine, settings, files.
#pragma once

#include <string>
#include <vector>

#include "plan/plan.h"
#include "store/journal.h"

namespace kvcomm {

// A run's program, libraries, machine and settings alone.
RunRecord describe_program(const std::vector<std::string>& argv);

// The first record of a run's journal.
RunRecord describe_run(const Plan& plan, const std::string& run_id,
                       const std::vector<std::string>& argv);

// Refuses (kUsage) to add to an output folder where the newest run with a data set of the plan was
// of another file's bytes: its rows and new ones would not be of the same samples.
void require_same_data(const Plan& plan, const Journals& journals);

std::string program_version();  // "0.1.0"

// "host; processor; cores; memory; system".
std::string machine_text();

// The program's version and commit and those of the libraries in use, a line each.
std::string version_text();

}  // namespace kvcomm
