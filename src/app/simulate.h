// `kvcomm simulate`: how long a sweep would take on many lanes, and what its lanes would wait for.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "app/commands.h"

namespace kvcomm {

struct SimulateArguments {
  SweepArguments sweep;
  std::vector<int> lanes;
  std::string hardware;           // a file
  std::vector<std::string> slow;  // "8x0.5": lanes x speed
  std::vector<std::string> late;  // "8x600": lanes x seconds
};

void add_simulate_options(CLI::App& command, SimulateArguments& arguments);
Exit simulate_command(const SimulateArguments& arguments);

}  // namespace kvcomm
