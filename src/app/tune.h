// kvcomm tune: which settings of a sweep's grid are best, chosen by some samples and scored on
// others.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/error.h"
#include "store/tuning.h"

namespace kvcomm {

struct TuneArguments {
  std::string sweep;  // its folder, or its TOML file
  TuningOptions options;
};

void add_tune_options(CLI::App& command, TuneArguments& arguments);
Exit tune_command(const TuneArguments& arguments);

}  // namespace kvcomm
