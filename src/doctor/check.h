// What `kvcomm doctor` says, a check at a time, and how the findings of many ranks become one.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace kvcomm::doctor {

enum class Status { kOk, kSkipped, kWarning, kFailed };  // each worse than the one before

struct Check {
  std::string name;
  Status status = Status::kOk;
  std::string found;  // what it saw: values, or a sentence
  std::string cure;   // what to do; "": nothing
};

void to_json(nlohmann::json& json, const Check& check);
void to_json(nlohmann::ordered_json& json, const Check& check);
void from_json(const nlohmann::json& json, Check& check);

// The checks that one rank made, each by its own name.
struct RankChecks {
  int rank = 0;
  std::string host;
  std::vector<Check> checks;
};

// One check for each name, in the order in which ranks bring them. The worst finding decides, and
// where ranks differ it says whose it is: "rank 3 on node2: ...".
std::vector<Check> merged(const std::vector<RankChecks>& ranks);

// The first few, and how many more there are: "a, b, c, d, 3 more".
std::string few(std::vector<std::string> parts, const std::string& separator);

// kEnvironment where a check failed.
Exit exit_of(const std::vector<Check>& checks);

// A line a check, then the cures.
std::string to_text(const std::vector<Check>& checks);

// {"exit_code": 0, "checks": [{"name": ..., "status": "ok", "found": ..., "cure": ...}]}
std::string to_json_text(const std::vector<Check>& checks);

}  // namespace kvcomm::doctor
