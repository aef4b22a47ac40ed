// kvcomm status: how far the sweeps of a folder are.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"

namespace CLI {
class App;
}

namespace kvcomm {

struct StatusArguments {
  std::string output;            // the folder, or a file in it
  std::optional<double> over_s;  // looks twice, so far apart
  bool cells = false;            // a line for each cell
  bool json = false;
};

void add_status_options(CLI::App& command, StatusArguments& arguments);

// Prints tables, or all as JSON. kOk wherever the folder can be read.
Exit status_command(const StatusArguments& arguments);

}  // namespace kvcomm
