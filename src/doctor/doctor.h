// `kvcomm doctor`: looks at everything that a sweep stands on, on all ranks of a world, and says
// what is wrong with the cure. Each wait has a deadline, so that it ends where a sweep would hang.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "doctor/check.h"
#include "doctor/inputs.h"
#include "doctor/launch.h"

namespace kvcomm::doctor {

struct Options {
  std::optional<SweepFile> sweep;            // whose models, data and needs are looked at, too
  std::filesystem::path output = "results";  // without a sweep, which has its own
  bool quick = false;                        // weights are not read whole
};

// Collective; the process catches stop signals. node: the ranks of the world that share this one's
// memory. The first process that the launcher started hands the checks over; each returns the same
// code. Where a rank does not answer, it says so and ends the job.
Exit examine(Communicator& world, Communicator& node, const Start& start, const Options& options,
             const std::function<void(const std::vector<Check>&)>& finished);

}  // namespace kvcomm::doctor
