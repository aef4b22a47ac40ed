// Who stands where: the ranks of a world as lanes, each rank with its role, device, threads and
// transport.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/nccl_link.h"
#include "config/config.h"
#include "lane/seat.h"
#include "tasks/messages.h"

namespace kvcomm {

inline constexpr Seconds kTogether_s = 600;  // for what all ranks say at about the same time

// Where each rank stands: computed alike on every rank from the nodes they run on.
struct Layout {
  std::vector<LaneRanks> lanes;
  int senders = 1;                 // of each
  std::vector<std::string> hosts;  // by rank
  int ranks_on_node = 1, rank_on_node = 0;
  int node_cores = 1;            // that the node's ranks may use together
  at::Device device = at::kCPU;  // this rank's
  int64_t memory_bytes = 0;      // of the rank that has least
  bool gpu_for_each = false;     // every rank of the world has a GPU of its own
};

// A tensor's type.
inline at::ScalarType scalar_type(DtypeChoice dtype) {
  return dtype == DtypeChoice::kFloat32 ? at::kFloat : at::kBFloat16;
}

int gpu_count();

// Fails (kEnvironment) where a launcher's processes did not find each other and are worlds of their
// own.
void check_launcher(int size);

// Fails (kUsage) where a world of that size has no whole lanes of so many senders and a receiver.
void check_world(int size, Placement placement, int senders);

// The lanes of a world. nodes: of each rank, one number for those of one node.
std::vector<LaneRanks> make_lanes(const std::vector<int>& nodes, Placement placement, int senders);

// Collective. Fails (kEnvironment) where ranks would run on different kinds of device.
Layout lay_out(Communicator& world, const RunConfig& run, const std::string& device, int senders);

// Fails where the configured transport cannot be: kEnvironment (NCCL), kUsage (a world of one).
Seat seat_of(const Layout& layout, int rank, const Config& config, const std::string& device);

// Sets this rank's threads, with a warning where it may use fewer cores; returns how many.
int set_threads(const RunConfig& run, const Layout& layout, int world_rank);

}  // namespace kvcomm
