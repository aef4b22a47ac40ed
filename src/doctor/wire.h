// The wire between the ends of each lane, by messages as a sweep sends them, with their checksums.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "doctor/check.h"
#include "lane/topology.h"

namespace kvcomm::doctor {

// One sender's messages to its receiver, as the sender measured them.
struct WireResult {
  std::string ends;  // "rank 0 on a to rank 1 on b"
  double bytes_per_s = 0;
  std::string failure;  // "": all came as they were sent
  std::string way;      // NCCL's own words of how it went: "P2P/CUMEM"; "": not told
};

void to_json(nlohmann::json& json, const WireResult& result);
void from_json(const nlohmann::json& json, WireResult& result);

// Makes NCCL tell a file of this process how it sends: before NCCL is called at all. A user's own
// NCCL_DEBUG is left as it is, and then nothing is told.
void let_nccl_tell();

// The ways that NCCL's log names, each once: "P2P/CUMEM, NET/Socket/0".
std::string ways_in(const std::string& nccl_log);

// Collective. transport: "mpi" | "nccl". What this rank's lane has measured; a failure is told by
// both of its ends.
std::vector<WireResult> measure_wire(Communicator& world, const Layout& layout,
                                     const std::string& transport);

Check judge_wire(const std::string& name, const std::vector<WireResult>& results);

}  // namespace kvcomm::doctor
