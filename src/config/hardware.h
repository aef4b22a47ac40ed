// How fast a machine is, where that is told rather than measured.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/clock.h"

namespace kvcomm {

// What one rank of a lane can do.
struct Hardware {
  std::string name;
  std::string source;           // where the numbers come from, in words
  double flops_per_s = 0;       // while prompts are read
  double bytes_per_s = 0;       // of weights, which each step of a batch reads once
  Seconds step_s = 0;           // that each step takes on top
  double load_bytes_per_s = 0;  // of weights from their files
  double wire_bytes_per_s = 0;  // between the ends of a lane
  int64_t memory_bytes = 0;     // of a rank
  std::string device = "cuda";  // its kind, as keys tell it
};

// A TOML file of these names. Fails (kUsage) where one is missing, unknown or not above 0.
Hardware load_hardware(const std::filesystem::path& file);

// Of a machine that nobody measured: good enough to tell what takes longer than what.
const Hardware& rough_hardware(const std::string& device_kind);

}  // namespace kvcomm
