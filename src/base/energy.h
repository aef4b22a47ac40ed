// Joules that a machine's own meters count: of its processors by RAPL (Linux's powercap files), of
// a GPU by NVML, the driver's library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace kvcomm {

class EnergyMeter {
 public:
  // gpu: its UUID as 32 hexadecimal digits, "": there is none, and the processors' joules count.
  // powercap: where Linux has the processors' counters.
  explicit EnergyMeter(const std::string& gpu = "",
                       std::filesystem::path powercap = "/sys/class/powercap");

  // Since it was made; NaN where the machine does not tell. To be asked every ten minutes at least:
  // a processor's counter begins anew after some hundred kilojoules.
  double host_joules();
  double gpu_joules();
  // The GPU's where there is one, else the host's.
  double joules() { return has_gpu_ ? gpu_joules() : host_joules(); }

  // Why joules() is NaN, as a sentence; "": it is not.
  const std::string& silence() const { return silence_; }

 private:
  struct Package {
    std::filesystem::path counter;
    uint64_t range_uj = 0, last_uj = 0;  // microjoules
    double joules = 0;
  };

  void find_packages(const std::filesystem::path& powercap);
  void find_gpu(const std::string& uuid);

  bool has_gpu_;
  std::vector<Package> packages_;
  std::function<bool(uint64_t& millijoules)> read_gpu_;  // empty: it does not tell
  uint64_t gpu_began_mj_ = 0;
  std::string silence_;
};

}  // namespace kvcomm
