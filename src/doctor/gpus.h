// The CUDA calls that the checks of a machine make: gpus_cuda.cpp has them, gpus_none.cpp stands
// for a build for the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kvcomm::doctor {

struct Gpu {
  int index = 0;  // "cuda:1"
  std::string name, pci, uuid;
  int capability = 0;  // 75: 7.5
};

// Of CUDA, as 13000 for 13.0.
struct CudaVersions {
  int driver = 0;   // the newest that the driver serves; 0: there is no driver
  int runtime = 0;  // of the library that the program runs on
};

// Nothing in a build for the CPU.
std::optional<CudaVersions> cuda_versions();

// Those that this process may use. Fails (kEnvironment) with CUDA's reason where they cannot be
// asked; there being none is no failure.
std::vector<Gpu> visible_gpus();

struct PeerCopy {
  bool direct = false;  // one GPU reads the other's memory; else through the host
  bool intact = false;  // what arrived is what was sent
  double bytes_per_s = 0;
};

// Writes a pattern on one GPU, copies it to the other, reads it back there. Fails (kEnvironment)
// with CUDA's reason.
PeerCopy copy_between(int from, int to, size_t bytes);

}  // namespace kvcomm::doctor
