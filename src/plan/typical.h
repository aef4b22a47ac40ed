// What stands in for models and data sets that are not there, where a plan is to tell how long a
// sweep takes all the same: typical.toml, which is compiled in.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace kvcomm {

// Gives each model without a config.json one of its shape, below the folder, and makes the pairs
// refer to it. Returns their names. Fails (kUsage) where a model is not known.
std::vector<std::string> supply_models(Config& config, const std::filesystem::path& folder);

// Fills the data sets that have no file with as many samples as are published, of typical lengths.
// Returns their names. Fails (kUsage) where a data set is not known.
std::vector<std::string> supply_samples(Plan& plan);

}  // namespace kvcomm
