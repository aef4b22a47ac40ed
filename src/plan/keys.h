// Keys: hashes of all that decides a cell's answers and calibration, so that what was done once is
// known again.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace kvcomm {

// Which data a cell answered: name and fingerprint, to how many senders they were dealt where there
// are several, and of data of one's own what decides samples.
nlohmann::json dataset_key(const DatasetConfig& named, const Dataset& dataset, size_t senders);

// The data set that such a key is of, without its path. Throws nlohmann's exceptions where the key
// is damaged.
DatasetConfig dataset_of_key(const nlohmann::json& key);

// The prompts that decide a cell's answers.
std::vector<std::string> prompt_keys(const Profile& profile, const PairConfig& pair);

// Fills in the cell's keys; where something of its pair or data set is absent the keys stay "".
// Fails (kUsage) where a prompt is missing.
void set_keys(Cell& cell, const Plan& plan, const Prompts& prompts);

}  // namespace kvcomm
