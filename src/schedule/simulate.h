// A sweep without its models: the real coordinator and worklist, with lanes that answer in a time
// of their own, which passes as fast as they are asked.
#pragma once

#include <string>
#include <vector>

#include "plan/effort.h"
#include "plan/plan.h"

namespace kvcomm {

// So many of the lanes, the first ones, work at that part of the others' speed, or begin late.
struct UnlikeLanes {
  int lanes = 0;
  double speed = 1;
  Seconds late_s = 0;
};

struct SimulatedLanes {
  int lanes = 1;
  bool colocate = false;  // a rank plays all ends of a lane
  std::vector<UnlikeLanes> unlike;
};

// All lanes' seconds from the first task to the last answer, by what they went to.
struct Simulation {
  int lanes = 0, ranks = 0;
  Seconds took_s = 0;  // from the first task to the last answer
  Seconds answering_s = 0, calibrating_s = 0;
  Seconds first_loads_s = 0, later_loads_s = 0;  // of a lane's first pair, and of further ones
  Seconds waiting_s = 0;                         // for a task, with work still to come
  Seconds tail_s = 0;                            // behind its last task
  Seconds ends_s = 0;                            // that ranks computed
  uint64_t tasks = 0, answers = 0;
  Seconds coordinator_s = 0;  // of the coordinator's core, the journal included

  Seconds all_s() const { return lanes * took_s; }
  // Each lane's first load counts: the work cannot do without it.
  double busy() const { return (answering_s + calibrating_s + first_loads_s) / all_s(); }
};

// The journal goes to the folder. Cells must have keys.
Simulation simulate(const Plan& plan, const Effort& effort, const SimulatedLanes& lanes,
                    const std::filesystem::path& folder);

}  // namespace kvcomm
