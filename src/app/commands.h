// The commands of the program, each as what it does after its options are known.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/config.h"
#include "store/results.h"
#include "sweep/rescore.h"

namespace kvcomm {

struct SweepArguments {
  std::string file;               // the sweep's TOML
  std::vector<std::string> sets;  // --set key=value
  Overrides overrides;
  bool show_config = false;
  bool strict = false, summary = false;  // plan's
  bool hours = false;                    // plan
  bool hash = false;                     // plan's: weights that no one has hashed yet
  std::vector<std::string> inject;       // run's: faults (comm/faults.h)
  std::optional<double> time_budget_s;   // run's
  std::vector<std::string> argv;         // the whole command line, for the results
};

Exit run_command(const SweepArguments& arguments);
Exit plan_command(const SweepArguments& arguments);
// The folder that a sweep wrote to, of that itself or of a file in it. Fails (kUsage) where there
// are no journals.
std::filesystem::path swept_folder(const std::string& given);

Exit merge_command(const std::string& given, Keys keys);  // given: the folder, or a file in it
Exit score_command(const RescoreOptions& options);

struct ListArguments {
  std::string what;  // "methods" or "datasets"
  std::string data = "data";
  std::string model;  // a name below `models`, or a path; "": no costs or token lengths
  std::string models = "models";
  std::string dtype = "bfloat16";
  std::string fidelity = "paper";
};

Exit list_command(const ListArguments& arguments);

}  // namespace kvcomm
