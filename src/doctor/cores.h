// The cores that ranks may use, against the threads that a sweep starts.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "doctor/facts.h"
#include "doctor/look.h"

namespace kvcomm::doctor {

Look cores_look();  // facts: cores, cores_allowed

// "0-3,8" as Linux lists them.
std::set<int> cores_of(const std::string& list);

// threads: run.threads; 0: the node's cores are shared out among its ranks.
Check judge_cores(const std::vector<RankFacts>& ranks, int64_t threads);

}  // namespace kvcomm::doctor
