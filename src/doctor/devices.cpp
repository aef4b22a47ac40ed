#include "doctor/devices.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>

#include "base/text.h"

namespace kvcomm::doctor {

namespace {

constexpr int kLeastCapability = 75;  // of the GPUs that libtorch's CUDA 13 build has kernels for
constexpr size_t kPeerBytes = size_t{1} << 26;

// "580.65.06"; "" where no NVIDIA driver is loaded.
std::string loaded_driver() {
  std::ifstream in("/proc/driver/nvidia/version");
  std::string line;
  std::getline(in, line);
  std::smatch found;
  return std::regex_search(line, found, std::regex(R"(\d+\.\d+(\.\d+)?)")) ? found.str() : "";
}

std::string cuda_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string with_capability(const Gpu& gpu) {
  return fmt::format("cuda:{} ({}, compute capability {}.{})", gpu.index, gpu.name,
                     gpu.capability / 10, gpu.capability % 10);
}

std::string device_of(const RankFacts& rank) {
  if (!rank.gpu) return rank.device;
  return fmt::format("{} ({}, {}, {})", rank.device, rank.gpu->name, rank.gpu->pci, rank.gpu->uuid);
}

}  // namespace

Check judge_driver(const std::optional<CudaVersions>& versions, const std::string& driver,
                   const std::vector<Gpu>& gpus, bool wanted) {
  const Status absent = wanted ? Status::kFailed : Status::kWarning;
  if (!versions) {
    if (driver.empty() && !wanted) {
      return {.status = Status::kSkipped, .found = "this build is for the CPU"};
    }
    return {.status = absent,
            .found = driver.empty()
                         ? "run.device is \"cuda\", and this build is for the CPU"
                         : fmt::format("NVIDIA's driver {} is here, and this build is for the CPU",
                                       driver),
            .cure = "Build for the GPU: KVCOMM_GPU=yes launch/setup.sh."};
  }
  const std::string runtime = cuda_text(versions->runtime);
  if (versions->driver == 0) {
    return {.status = absent,
            .found = fmt::format("CUDA {}, and no NVIDIA driver", runtime),
            .cure = "Install NVIDIA's driver, 580 or newer, or choose nodes with GPUs."};
  }
  const std::string found =
      fmt::format("driver {} for CUDA {}, CUDA {}", driver.empty() ? "of unknown version" : driver,
                  cuda_text(versions->driver), runtime);
  if (versions->driver / 1000 < versions->runtime / 1000) {
    return {.status = Status::kFailed,
            .found = found + ": the driver is too old",
            .cure = "Update NVIDIA's driver to 580 or newer."};
  }
  if (gpus.empty()) {
    return {.status = absent,
            .found = found + ", and no GPU is visible",
            .cure =
                "Ask the scheduler for GPUs (--gpus-per-node), and look at "
                "CUDA_VISIBLE_DEVICES."};
  }
  std::vector<std::string> old;
  for (const Gpu& gpu : gpus) {
    if (gpu.capability < kLeastCapability) old.push_back(with_capability(gpu));
  }
  if (old.empty()) {
    return {.found = fmt::format("{}, {} GPU{} ({})", found, gpus.size(),
                                 gpus.size() == 1 ? "" : "s", with_capability(gpus.front()))};
  }
  return {.status = Status::kFailed,
          .found = fmt::format("{} cannot run libtorch's kernels", join(old, ", ")),
          .cure =
              "Use GPUs of compute capability 7.5 (Turing) or newer: leave the others out with "
              "CUDA_VISIBLE_DEVICES, or set run.device = \"cpu\"."};
}

Look devices_look(int rank_on_node, bool wanted) {
  return {.name = "driver", .cure = "See that nvidia-smi works on this node.", .look = [=] {
            const std::vector<Gpu> gpus = visible_gpus();
            Seen seen{.check = judge_driver(cuda_versions(), loaded_driver(), gpus, wanted)};
            seen.facts["gpus_visible"] = gpus.size();
            if (gpus.empty()) return seen;
            const Gpu& own = gpus[static_cast<size_t>(rank_on_node) % gpus.size()];
            const RankFacts facts{.device = fmt::format("cuda:{}", own.index), .gpu = own};
            const nlohmann::json all = facts;
            seen.facts["device"] = all.at("device");
            seen.facts["gpu"] = all.at("gpu");
            return seen;
          }};
}

Check judge_devices(const std::vector<RankFacts>& ranks) {
  std::map<std::string, std::vector<std::string>> by_gpu;
  std::map<std::string, int> kinds;
  std::vector<RankChecks> all;
  for (const RankFacts& rank : ranks) {
    ++kinds[rank.gpu ? "a GPU" : "the CPU"];
    if (rank.gpu) by_gpu[rank.host + rank.gpu->uuid].push_back(std::to_string(rank.rank));
    all.push_back({rank.rank, rank.host, {{.name = "devices", .found = device_of(rank)}}});
  }
  if (kinds.size() > 1) {
    for (RankChecks& rank : all) rank.checks.front().status = Status::kFailed;
    Check check = merged(all).front();
    check.cure =
        "Choose nodes that are alike, or set run.device: answers of one cell must come from one "
        "kind of device.";
    return check;
  }
  Check check = merged(all).front();
  std::vector<std::string> shared;
  for (const auto& [gpu, names] : by_gpu) {
    if (names.size() > 1) shared.push_back("ranks " + join(names, ", "));
  }
  if (shared.empty()) return check;
  check.status = Status::kWarning;
  check.found = fmt::format("{} share a GPU; {}", join(shared, "; "), check.found);
  check.cure =
      "Start one rank per GPU (srun: --gpus-per-node, --gpu-bind=none): those that share one share "
      "its memory, and cannot talk over NCCL.";
  return check;
}

Check judge_peers(const std::vector<PeerResult>& copies) {
  std::vector<std::string> broken;
  size_t direct = 0;
  double slowest = 0;
  for (const PeerResult& pair : copies) {
    if (!pair.copy.intact) broken.push_back(fmt::format("cuda:{} to cuda:{}", pair.from, pair.to));
    direct += pair.copy.direct;
    slowest = slowest == 0 ? pair.copy.bytes_per_s : std::min(slowest, pair.copy.bytes_per_s);
  }
  if (!broken.empty()) {
    return {.status = Status::kFailed,
            .found = fmt::format("bytes are altered on their way from {}", join(broken, ", ")),
            .cure =
                "Set NCCL_P2P_DISABLE=1 for runs on this node, and let its administrator turn "
                "off the IOMMU, or PCIe's Access Control Services (ACS)."};
  }
  return {.found = fmt::format("{} copies between GPUs arrived as sent, {} of them direct, the "
                               "slowest at {:.1f} GB/s",
                               copies.size(), direct, slowest / 1e9)};
}

Look peers_look() {
  return {.name = "peer access",
          .cure = "Set NCCL_P2P_DISABLE=1 for runs on this node, and see that nvidia-smi works.",
          .look =
              [] {
                const size_t count = visible_gpus().size();
                if (count < 2) {
                  return Seen{.check = {.status = Status::kSkipped,
                                        .found = fmt::format("{} GPU{} visible to a rank", count,
                                                             count == 1 ? " is" : "s are")}};
                }
                std::vector<PeerResult> copies;
                for (int from = 0; from < static_cast<int>(count); ++from) {
                  for (int to = 0; to < static_cast<int>(count); ++to) {
                    if (from == to) continue;
                    copies.push_back({from, to, copy_between(from, to, kPeerBytes)});
                  }
                }
                return Seen{.check = judge_peers(copies)};
              },
          .timeout_s = 120};
}

}  // namespace kvcomm::doctor
