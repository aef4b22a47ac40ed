// Where a measurement runs: device, threads and transport, found as a sweep finds them.
#pragma once

#include <filesystem>
#include <functional>
#include <variant>

#include "base/error.h"
#include "comm/communicator.h"
#include "lane/topology.h"
#include "model/config.h"

namespace kvcomm::bench {

struct Stage {
  Layout layout;
  Seat seat;
  int threads = 1;
};

// Collective. check: what else may be refused before anything is begun. The code that all ranks
// leave with where one of them was refused; rank 0 has logged why.
std::variant<Stage, Exit> set_stage(Communicator& world, const RunConfig& run,
                                    const std::function<void()>& check);

// The config.json of a model's folder, or the file itself.
ModelConfig load_shape(const std::filesystem::path& folder_or_file);

}  // namespace kvcomm::bench
