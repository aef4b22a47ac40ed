#include "base/energy.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <fstream>
#include <limits>
#include <optional>

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

constexpr double kNotTold = std::numeric_limits<double>::quiet_NaN();

std::optional<uint64_t> number_in(const fs::path& file) {
  uint64_t number = 0;
  if (std::ifstream(file) >> number) return number;
  return std::nullopt;
}

// "GPU-01234567-89ab-...", as NVML names it.
std::string nvml_name(const std::string& uuid) {
  return fmt::format("GPU-{}-{}-{}-{}-{}", uuid.substr(0, 8), uuid.substr(8, 4), uuid.substr(12, 4),
                     uuid.substr(16, 4), uuid.substr(20));
}

}  // namespace

EnergyMeter::EnergyMeter(const std::string& gpu, fs::path powercap) : has_gpu_(!gpu.empty()) {
  find_packages(powercap);
  if (has_gpu_) {
    find_gpu(gpu);
  } else if (packages_.empty()) {
    silence_ = fmt::format(
        "No joules are measured: '{}' has no counter of a processor package (intel-rapl:*/energy_uj"
        ") that this user may read.",
        powercap.string());
  }
}

void EnergyMeter::find_packages(const fs::path& powercap) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(powercap, error)) {
    std::string name;
    std::ifstream(entry.path() / "name") >> name;
    // intel-rapl-mmio's zones have the same names, and count the same.
    const bool rapl = entry.path().filename().native().starts_with("intel-rapl:");
    if (!rapl || !name.starts_with("package-")) continue;
    const fs::path counter = entry.path() / "energy_uj";
    const auto now = number_in(counter), range = number_in(entry.path() / "max_energy_range_uj");
    if (now && range)
      packages_.push_back({.counter = counter, .range_uj = *range, .last_uj = *now});
  }
}

void EnergyMeter::find_gpu(const std::string& uuid) {
  using Device = void*;
  void* library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW);
  if (library == nullptr || uuid.size() != 32) {
    silence_ =
        "No joules are measured: the GPU's driver or its NVML (libnvidia-ml.so.1) is not here.";
    return;
  }
  const auto function = [&]<typename F>(F*& into, const char* name) {
    into = reinterpret_cast<F*>(::dlsym(library, name));
    return into != nullptr;
  };
  int (*init)() = nullptr;
  int (*by_uuid)(const char*, Device*) = nullptr;
  int (*energy)(Device, unsigned long long*) = nullptr;
  Device device = nullptr;
  unsigned long long began = 0;
  if (!function(init, "nvmlInit_v2") || !function(by_uuid, "nvmlDeviceGetHandleByUUID") ||
      !function(energy, "nvmlDeviceGetTotalEnergyConsumption") || init() != 0 ||
      by_uuid(nvml_name(uuid).c_str(), &device) != 0 || energy(device, &began) != 0) {
    silence_ = fmt::format("No joules are measured: NVML does not tell those of the GPU {}.",
                           nvml_name(uuid));
    return;
  }
  gpu_began_mj_ = began;
  read_gpu_ = [energy, device](uint64_t& millijoules) {
    unsigned long long now = 0;
    const bool told = energy(device, &now) == 0;
    millijoules = now;
    return told;
  };
}

double EnergyMeter::host_joules() {
  double all = packages_.empty() ? kNotTold : 0;
  for (Package& package : packages_) {
    const auto now = number_in(package.counter);
    if (!now) return kNotTold;
    const bool anew = *now < package.last_uj;
    const uint64_t more = anew ? package.range_uj - package.last_uj + *now : *now - package.last_uj;
    package.joules += static_cast<double>(more) * 1e-6;
    package.last_uj = *now;
    all += package.joules;
  }
  return all;
}

double EnergyMeter::gpu_joules() {
  uint64_t now_mj = 0;
  if (!read_gpu_ || !read_gpu_(now_mj)) return kNotTold;
  return static_cast<double>(now_mj - gpu_began_mj_) * 1e-3;
}

}  // namespace kvcomm
