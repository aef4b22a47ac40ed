// What a sweep reads: configuration, models, data, the dictionary. Whether it is whole, the same on
// all nodes, and fits into memory.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "doctor/facts.h"
#include "doctor/look.h"

namespace kvcomm::doctor {

struct SweepFile {
  std::filesystem::path toml;
  std::vector<std::string> sets;  // as of --set
  Overrides overrides;

  Config load() const { return load_config(toml, sets, overrides); }
};

// Facts of each: files, unreadable, memory_bytes; or, of rank 0's plan: rows, needed_*.
Look configuration_look(const SweepFile& file);
// By a node's first rank. quick: weights count by the sizes of their files, which takes no time.
Look models_look(const Config& config, bool quick);
Look dictionary_look();
Look plan_look(const Config& config);
// Of the rank's GPU where it may use one, else its share of the host's.
Look memory_look(bool may_use_gpu, int rank_on_node, int ranks_on_node);

// Of names that several nodes tell, whether their hashes are the same.
Check judge_files(const std::vector<RankFacts>& ranks);
// alone: each rank is all ends of a lane.
Check judge_memory(const std::vector<RankFacts>& ranks, bool alone);

}  // namespace kvcomm::doctor
