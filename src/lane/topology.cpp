#include "lane/topology.h"

#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "plan/memory.h"
#include "store/process.h"

namespace kvcomm {

namespace {

using Json = nlohmann::json;

// The cores that this process may use, a character each: '1' or '0'.
std::string own_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return "1";
  for (int core = 0; core < CPU_SETSIZE; ++core) cores += CPU_ISSET(core, &set) ? '1' : '0';
  return cores;
}

// How many cores several processes may use together: launchers give each its own, or all the same.
int cores_of(const std::vector<std::string>& processes) {
  std::string all = processes.front();
  for (const std::string& cores : processes) {
    for (size_t i = 0; i < std::min(all.size(), cores.size()); ++i)
      all[i] = std::max(all[i], cores[i]);
  }
  return static_cast<int>(std::ranges::count(all, '1'));
}

// What ranks must know of each other before they choose devices and transport.
void agree_on_devices(Communicator& world, const std::string& device, Layout& layout) {
  Json mine = {{"device", device}, {"gpu", ""}, {"host", host_name()}};
  if (device == "cuda") {
    const int index = layout.rank_on_node % gpu_count();
    layout.device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
    mine["gpu"] = gpu_name_to_nccl(layout.device);
  }
  mine["memory"] = device_memory(layout.device, layout.ranks_on_node);
  const std::vector<std::string> all =
      world.all_gather(mine.dump(), {kTogether_s, "every rank's device", "all ranks"});
  std::vector<Json> ranks;
  std::map<std::string, int64_t> ranks_of_gpu;
  for (const std::string& text : all) {
    ranks.push_back(Json::parse(text));
    ++ranks_of_gpu[ranks.back().at("gpu")];
    layout.hosts.push_back(ranks.back().at("host"));
  }
  layout.memory_bytes = std::numeric_limits<int64_t>::max();
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const Json& theirs = ranks[rank];
    if (theirs.at("device") != device) {
      fail(Exit::kEnvironment,
           "Rank {} would run on {}, rank {} on {}: answers of one cell must come from one kind of "
           "device. Set run.device, or choose nodes that are alike.",
           world.rank(), device, rank, theirs.at("device").get<std::string>());
    }
    const int64_t sharing = device == "cuda" ? ranks_of_gpu.at(theirs.at("gpu")) : 1;
    layout.memory_bytes =
        std::min(layout.memory_bytes, theirs.at("memory").get<int64_t>() / sharing);
  }
  // Launchers may show a rank its own GPU alone: it is the names that tell whose is whose.
  layout.gpu_for_each = device == "cuda" && ranks_of_gpu.size() == all.size();
}

// How many tasks a launcher says that it started; nothing where the variable does not say.
std::optional<int> tasks_by(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int tasks = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, tasks);
  if (error != std::errc() || rest != end || tasks < 1) return std::nullopt;
  return tasks;
}

}  // namespace

int gpu_count() { return static_cast<int>(at::detail::getCUDAHooks().deviceCount()); }

// Processes that a launcher started but that did not find each other are worlds of their own: each
// would do the whole work, on the same GPU.
void check_launcher(int size) {
  // Slurm's counts only where no MPI launcher runs inside its step.
  std::vector<const char*> variables = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
  if (std::ranges::none_of(variables,
                           [](const char* name) { return tasks_by(name).has_value(); })) {
    variables = {"SLURM_STEP_NUM_TASKS"};
  }
  for (const char* variable : variables) {
    const int tasks = tasks_by(variable).value_or(size);
    if (tasks <= size) continue;
    fail(Exit::kEnvironment,
         "{} says that {} tasks were started, but this one is in a world of {}: they did not find "
         "each other. Start them with `srun --mpi=pmix`, or with the mpirun of the Open MPI that "
         "this program was built with ({}).",
         variable, tasks, size, mpi_version());
  }
}

// Open MPI counts ranks only; a sweep needs whole lanes.
void check_world(int size, Placement placement, int senders) {
  const int ends = senders + 1;
  if (size == 1 || size % ends == 0 || placement == Placement::kColocate) return;
  const std::string lane = senders == 1 ? "one sender and one receiver"
                                        : fmt::format("{} senders and one receiver", senders);
  fail(Exit::kUsage,
       "A world of {} processes does not fit: a lane is {}, so start 1 process or {} (mpirun -np "
       "{}), or let each be {} (run.placement = \"colocate\").",
       size, lane, senders == 1 ? "an even number" : fmt::format("a multiple of {}", ends),
       (size / ends + 1) * ends, senders == 1 ? "both" : "all of them");
}

std::vector<LaneRanks> make_lanes(const std::vector<int>& nodes, Placement placement, int senders) {
  std::vector<LaneRanks> lanes;
  std::vector<int> by_node(nodes.size());
  std::iota(by_node.begin(), by_node.end(), 0);
  if (nodes.size() == 1 || placement == Placement::kColocate) {
    for (const int rank : by_node) lanes.push_back({.senders = {}, .receiver = rank});
    return lanes;
  }
  std::ranges::stable_sort(by_node, {}, [&](int rank) { return nodes[static_cast<size_t>(rank)]; });
  const size_t ends = static_cast<size_t>(senders) + 1, count = by_node.size() / ends;
  const bool pack = placement == Placement::kPack;  // else a lane's ends are as far apart as can be
  for (size_t lane = 0; lane < count; ++lane) {
    std::vector<int> ranks;
    for (size_t end = 0; end < ends; ++end) {
      ranks.push_back(by_node[pack ? lane * ends + end : lane + end * count]);
    }
    const int receiver = ranks.back();
    ranks.pop_back();
    lanes.push_back({std::move(ranks), receiver});
  }
  return lanes;
}

Layout lay_out(Communicator& world, const RunConfig& run, const std::string& device, int senders) {
  Communicator node = world.split_by_node();
  Layout layout{.senders = senders, .ranks_on_node = node.size(), .rank_on_node = node.rank()};
  agree_on_devices(world, device, layout);
  layout.node_cores = cores_of(
      node.all_gather(own_cores(), {kTogether_s, "the cores of this node's ranks", "its ranks"}));
  // A node is named by its first rank, which all its ranks learn from each other.
  const Deadline deadline(run.timeout_s, "the ranks' nodes", "all ranks");
  const std::string first = node.all_gather(std::to_string(world.rank()), deadline).front();
  std::vector<int> nodes;
  for (const std::string& name : world.all_gather(first, deadline))
    nodes.push_back(std::stoi(name));
  layout.lanes = make_lanes(nodes, run.placement, senders);
  return layout;
}

Seat seat_of(const Layout& layout, int rank, const Config& config, const std::string& device) {
  Seat seat;
  for (size_t lane = 0; lane < layout.lanes.size(); ++lane) {
    const LaneRanks& ranks = layout.lanes[lane];
    const auto sender = std::ranges::find(ranks.senders, rank);
    if (ranks.receiver != rank && sender == ranks.senders.end()) continue;
    seat.lane = static_cast<int>(lane);
    seat.role = ranks.is_one_rank()      ? Role::kBoth
                : ranks.receiver == rank ? Role::kReceiver
                                         : Role::kSender;
    seat.senders =
        ranks.is_one_rank() ? layout.senders : static_cast<int>(std::ssize(ranks.senders));
    if (seat.role == Role::kSender) seat.sender = static_cast<int>(sender - ranks.senders.begin());
    seat.world_ranks = ranks.all();
    for (const int end : seat.world_ranks) {
      seat.names.push_back(fmt::format("rank {} ({} of lane {}) on {}", end,
                                       end == ranks.receiver ? "receiver" : "sender", lane,
                                       layout.hosts.at(static_cast<size_t>(end))));
    }
  }
  seat.device = layout.device;
  if (!seat.device.is_cpu()) seat.gpu = gpu_name_to_nccl(seat.device).substr(0, 32);
  const TransportChoice wanted = config.run.transport;
  const bool alone = seat.role == Role::kBoth;
  if (alone && wanted == TransportChoice::kMpi) {
    fail(Exit::kUsage,
         "run.transport = \"mpi\" moves data between two ranks, and {}: start 2 (mpirun -np 2), or "
         "leave the transport \"auto\".",
         config.run.placement == Placement::kColocate
             ? "with run.placement = \"colocate\" each rank is both ends"
             : "this is a world of 1");
  }
  const bool nccl = wanted == TransportChoice::kNccl ||
                    (wanted == TransportChoice::kAuto && device == "cuda" && !alone &&
                     layout.gpu_for_each && !nccl_version().empty());
  seat.transport = nccl ? "nccl" : alone ? "loopback" : "mpi";
  if (nccl && device == "cuda" && !alone && !layout.gpu_for_each) {
    fail(Exit::kEnvironment,
         "Ranks share a GPU (this node has {} ranks, which see {} GPUs each): NCCL needs one GPU a "
         "rank. Start fewer ranks, or set run.transport = \"mpi\".",
         layout.ranks_on_node, gpu_count());
  }
  return seat;
}

int set_threads(const RunConfig& run, const Layout& layout, int world_rank) {
  const int cores = cores_of({own_cores()});
  const int threads = run.threads > 0 ? static_cast<int>(run.threads)
                                      : std::max(1, layout.node_cores / layout.ranks_on_node);
  if (threads > cores) {
    spdlog::warn(
        "Rank {} works with {} threads, but may use {} cores: launch with --bind-to none, or map "
        "more cores to a rank.",
        world_rank, threads, cores);
  }
  at::set_num_threads(threads);
  return threads;
}

}  // namespace kvcomm
