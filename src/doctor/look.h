// Looks at the machine that may take long or never end, each with a deadline of its own.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "doctor/check.h"

namespace kvcomm::doctor {

// What was seen of something, and what others make of it: members of RankFacts.
struct Seen {
  Check check;
  nlohmann::json facts = nlohmann::json::object();
};

struct Look {
  std::string name;            // the check's
  std::string cure;            // where it throws
  std::function<Seen()> look;  // owns all that it needs: it may outlive its caller
  Seconds timeout_s = kTimeout_s;

  static constexpr Seconds kTimeout_s = 30;
};

// Looks at all side by side. One that throws has failed with that sentence; so has one that does
// not end in time, whose thread is left behind: a call that hangs in the system cannot be ended.
std::vector<Seen> look_at(std::vector<Look> looks);

// Calls `bark` if it is not destroyed before.
std::jthread watchdog(Seconds timeout_s, std::function<void()> bark);

}  // namespace kvcomm::doctor
