#include "doctor/cores.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace kvcomm::doctor {

namespace fs = std::filesystem;

namespace {

std::string own_cores() {
  constexpr std::string_view kMark = "Cpus_allowed_list:\t";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kMark)) return line.substr(kMark.size());
  }
  return "";
}

// The least time of cores that this process's control groups allow (version 2 of Linux's, each
// within its parent); 0: any.
double cores_allowed() {
  const fs::path root = "/sys/fs/cgroup";
  fs::path group = root;
  std::ifstream own("/proc/self/cgroup");
  for (std::string line; std::getline(own, line);) {
    if (line.starts_with("0::/")) group = root / line.substr(4);
  }
  double least = 0;
  for (; group.native().size() >= root.native().size(); group = group.parent_path()) {
    double quota = 0, period = 0;  // "max" is no number
    if (!(std::ifstream(group / "cpu.max") >> quota >> period) || period <= 0) continue;
    least = least == 0 ? quota / period : std::min(least, quota / period);
  }
  return least;
}

std::string count(size_t n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

// threads: of the rank. node_cores: that its node's ranks may use together.
Check check_cores_of(const RankFacts& rank, size_t threads, size_t node_cores) {
  const size_t cores = cores_of(rank.cores).size();
  const std::string has = fmt::format("{} for {}", count(threads, "thread"), count(cores, "core"));
  if (threads > cores) {
    return {.status = Status::kWarning,
            .found = has,
            .cure =
                "Launch with --bind-to none (srun: --cpus-per-task), or set run.threads to the "
                "cores that a rank has."};
  }
  if (rank.cores_allowed > 0 && rank.cores_allowed < static_cast<double>(threads)) {
    return {.status = Status::kWarning,
            .found = fmt::format("{}, and its control group allows the time of {:.3g}", has,
                                 rank.cores_allowed),
            .cure = "Ask for more cores, or set run.threads to those that the group allows."};
  }
  if (node_cores < static_cast<size_t>(rank.ranks_on_node)) {
    return {
        .status = Status::kWarning,
        .found = fmt::format("{} ranks share {}", rank.ranks_on_node, count(node_cores, "core")),
        .cure = "Start no more ranks on a node than it has cores."};
  }
  return {.found = has};
}

}  // namespace

Look cores_look() {
  return {.name = "cores", .cure = "Mount /proc.", .look = [] {
            return Seen{.facts = {{"cores", own_cores()}, {"cores_allowed", cores_allowed()}}};
          }};
}

std::set<int> cores_of(const std::string& list) {
  std::set<int> cores;
  std::istringstream ranges(list);
  for (std::string range; std::getline(ranges, range, ',');) {
    int first = 0, last = 0;
    const char* end = range.data() + range.size();
    const auto [rest, error] = std::from_chars(range.data(), end, first);
    if (error != std::errc()) continue;
    last = first;
    if (rest != end) std::from_chars(rest + 1, end, last);
    for (int core = first; core <= last; ++core) cores.insert(core);
  }
  return cores;
}

Check judge_cores(const std::vector<RankFacts>& ranks, int64_t threads) {
  std::map<int, std::set<int>> of_nodes;
  for (const RankFacts& rank : ranks) of_nodes[rank.node].merge(cores_of(rank.cores));
  std::vector<RankChecks> checks;
  for (const RankFacts& rank : ranks) {
    const size_t together = of_nodes[rank.node].size();
    const size_t share = std::max<size_t>(1, together / static_cast<size_t>(rank.ranks_on_node));
    Check check =
        check_cores_of(rank, threads > 0 ? static_cast<size_t>(threads) : share, together);
    check.name = "cores";
    checks.push_back({rank.rank, rank.host, {check}});
  }
  return merged(checks).front();
}

}  // namespace kvcomm::doctor
