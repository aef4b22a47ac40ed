// The folder that results go to: whether files can be written, replaced, synced and locked there,
// and how many. Nothing is left behind, and the folder itself is not made.
#pragma once

#include <filesystem>
#include <vector>

#include "doctor/facts.h"
#include "doctor/look.h"

namespace kvcomm::doctor {

// By rank 0, which alone writes results. Facts: free_bytes, free_files.
std::vector<Look> folder_looks(const std::filesystem::path& output);

// Whether the sweep's rows find room, or some thousands where there is no sweep.
Check judge_space(const RankFacts& rank_zero);

}  // namespace kvcomm::doctor
