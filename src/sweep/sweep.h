// A sweep from its configuration to its results: what `kvcomm run` does on every rank.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "comm/faults.h"
#include "config/config.h"
#include "plan/plan.h"
#include "store/results.h"
#include "sweep/stop.h"

namespace kvcomm {

// "cpu" or "cuda", as run.device says or, for "auto", as the machine has. Fails (kEnvironment)
// where CUDA is asked for and not there.
std::string device_kind(const RunConfig& run);

// Warns of the lines that were skipped.
void log_faults(const Journals& journals);

// merge(), with what it left out written to the log.
Results merge_and_log(const std::filesystem::path& output, Keys keys = Keys::kNewest);

// Runs the sweep over all ranks of `world`; every rank returns the same code. On rank 0, `finished`
// is called with the merged results. After a stop signal the job ends in `stop`, not here.
// configure is called on every rank and may throw: the first rank that fails has its sentence
// logged by rank 0. faults: what is to go wrong, once it was called.
Exit run_sweep(Communicator& world, Stop& stop, const std::function<Config()>& configure,
               Faults& faults, const std::vector<std::string>& argv,
               const std::function<void(const Results&)>& finished);

}  // namespace kvcomm
