// What ranks tell each other of where they are, so that rank 0 can judge what no rank sees alone.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "doctor/gpus.h"

namespace kvcomm::doctor {

struct RankFacts {
  int rank = 0;
  std::string host;
  int node = 0;  // the rank that is the first of those that share this one's memory
  int ranks_on_node = 1, rank_on_node = 0;
  std::string cores;         // that it may use: "0-3,8"
  double cores_allowed = 0;  // by its control groups, in cores' time; 0: as many as it has
  int64_t memory_bytes = 0;  // its share of the host's, or of its GPU's
  std::string device = "cpu";
  std::optional<Gpu> gpu;
  int gpus_visible = 0;
  // What should be the same everywhere, by name ("the weights of org/model"): its hash, or why it
  // has none.
  std::map<std::string, std::string> files, unreadable;
  // ---- rank 0's alone
  uint64_t free_bytes = 0, free_files = 0;      // where results go
  uint64_t rows = 0;                            // of the sweep
  int64_t needed_alone = 0, needed_by_end = 0;  // bytes of one rank that is all ends, or one
};

void to_json(nlohmann::json& json, const RankFacts& facts);
void from_json(const nlohmann::json& json, RankFacts& facts);

}  // namespace kvcomm::doctor
