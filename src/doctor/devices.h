// GPUs: the driver, which rank has which, and copies between each two of a node.
#pragma once

#include <optional>
#include <vector>

#include "doctor/facts.h"
#include "doctor/look.h"

namespace kvcomm::doctor {

// wanted: run.device = "cuda". Facts: gpus_visible, and the rank's own gpu and device.
Look devices_look(int rank_on_node, bool wanted);
// By a node's first rank: it takes all pairs of GPUs.
Look peers_look();

// versions: none in a build for the CPU. driver: its own version, "" where none is loaded.
Check judge_driver(const std::optional<CudaVersions>& versions, const std::string& driver,
                   const std::vector<Gpu>& gpus, bool wanted);
Check judge_devices(const std::vector<RankFacts>& ranks);

// A copy between two GPUs of a node, as it went.
struct PeerResult {
  int from = 0, to = 0;
  PeerCopy copy;
};
Check judge_peers(const std::vector<PeerResult>& copies);

}  // namespace kvcomm::doctor
