// The commands of the program, each as what it does after its options are known.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "sweep/config.h"

namespace kvcomm {

struct SweepArguments {
  std::string file;               // the sweep's TOML
  std::vector<std::string> sets;  // --set key=value
  Overrides overrides;
  bool show_config = false;
  std::vector<std::string> argv;  // the whole command line, for the results
};

Exit run_command(const SweepArguments& arguments);
Exit plan_command(const SweepArguments& arguments);
Exit merge_command(const std::string& output);
// what: "methods" or "datasets"
Exit list_command(const std::string& what, const std::string& data_folder);

}  // namespace kvcomm
