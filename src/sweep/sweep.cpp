#include "sweep/sweep.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <sched.h>

#include <exception>
#include <nlohmann/json.hpp>
#include <thread>
#include <tuple>

#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "score/score.h"
#include "store/locks.h"
#include "store/process.h"
#include "store/results_file.h"
#include "sweep/coordinator.h"
#include "sweep/lane.h"
#include "sweep/provenance.h"
#include "sweep/signals.h"

namespace kvcomm {

namespace {

using Json = nlohmann::json;

constexpr Seconds kStartTimeout_s = 3600;  // until rank 0 has planned, which may hash weights
constexpr Seconds kEndTimeout_s = 3600;    // until rank 0 has merged the journals

int gpu_count() { return static_cast<int>(at::detail::getCUDAHooks().deviceCount()); }

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

// Where each rank stands: computed alike on every rank from the nodes they run on.
struct Layout {
  std::vector<LaneRanks> lanes;
  int ranks_on_node = 1, rank_on_node = 0;
  int node_cores = 1;         // that the node's ranks may use together
  bool gpu_for_each = false;  // every rank of the world can have a GPU of its own
};

// What ranks must know of each other before they choose devices and transport.
void agree_on_devices(Communicator& world, const std::string& device, Layout& layout) {
  const Json mine = {{"device", device}, {"fits", layout.ranks_on_node <= gpu_count()}};
  const std::vector<std::string> all =
      world.all_gather(mine.dump(), {kStartTimeout_s, "every rank's device", "all ranks"});
  layout.gpu_for_each = true;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Json theirs = Json::parse(all[rank]);
    if (theirs.at("device") != device) {
      fail(Exit::kEnvironment,
           "Rank {} would run on {}, rank {} on {}: answers of one cell must come from one kind of "
           "device. Set run.device, or choose nodes that are alike.",
           world.rank(), device, rank, theirs.at("device").get<std::string>());
    }
    layout.gpu_for_each = layout.gpu_for_each && theirs.at("fits").get<bool>();
  }
}

Layout lay_out(Communicator& world, const RunConfig& run, const std::string& device) {
  Communicator node = world.split_by_node();
  Layout layout{.ranks_on_node = node.size(), .rank_on_node = node.rank()};
  agree_on_devices(world, device, layout);
  layout.node_cores = cores_of(node.all_gather(
      own_cores(), {kStartTimeout_s, "the cores of this node's ranks", "its ranks"}));
  if (world.size() == 1) {
    layout.lanes.push_back({0, 0});
    return layout;
  }
  // A node is named by its first rank, which all its ranks learn from each other.
  const Deadline deadline(run.timeout_s, "the ranks' places", "all ranks");
  const int first = std::stoi(node.all_gather(std::to_string(world.rank()), deadline).front());
  std::vector<std::pair<int, int>> by_node;  // (node, rank)
  const std::vector<std::string> nodes = world.all_gather(std::to_string(first), deadline);
  for (int rank = 0; rank < world.size(); ++rank) {
    by_node.emplace_back(std::stoi(nodes[static_cast<size_t>(rank)]), rank);
  }
  std::ranges::sort(by_node);
  const size_t half = by_node.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    const bool pack =
        run.placement == Placement::kPack;  // neighbours, or ends half the world apart
    layout.lanes.push_back(
        {by_node[pack ? 2 * i : i].second, by_node[pack ? 2 * i + 1 : i + half].second});
  }
  return layout;
}

// Every rank says how it fared; if one failed, all leave with its code and rank 0 logs its
// sentence. If one found nothing to do, all leave with kOk.
std::optional<Exit> agree(Communicator& world, const std::exception_ptr& failure,
                          bool nothing_to_do = false) {
  Json mine = {{"exit", 0}, {"what", ""}, {"nothing_to_do", nothing_to_do}};
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const Error& error) {
    mine = {{"exit", static_cast<int>(error.exit())}, {"what", error.what()}};
  } catch (const std::exception& error) {
    mine = {{"exit", static_cast<int>(Exit::kInternal)}, {"what", error.what()}};
  }
  const std::vector<std::string> all =
      world.all_gather(mine.dump(-1, ' ', false, Json::error_handler_t::replace),
                       {kStartTimeout_s, "every rank's start", "all ranks"});
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Json status = Json::parse(all[rank]);
    if (status.at("exit") == 0) continue;
    if (world.rank() == 0) {
      const std::string who = rank == 0 ? "" : fmt::format("Rank {}: ", rank);
      spdlog::error("{}{}", who, status.at("what").get<std::string>());
    }
    return static_cast<Exit>(status.at("exit").get<int>());
  }
  const auto idle = [](const std::string& status) {
    return Json::parse(status).value("nothing_to_do", false);
  };
  return std::ranges::any_of(all, idle) ? std::optional(Exit::kOk) : std::nullopt;
}

template <typename Step>
std::exception_ptr attempt(Step&& step) {
  try {
    step();
    return nullptr;
  } catch (...) {  // every rank learns of it in agree()
    return std::current_exception();
  }
}

// Open MPI counts ranks only; a sweep needs whole lanes.
void check_world(int size) {
  if (size == 1 || size % 2 == 0) return;
  fail(Exit::kUsage,
       "A world of {} processes does not fit: a lane is one sender and one receiver, so start 1 "
       "process "
       "or an even number (mpirun -np {}).",
       size, size + 1);
}

// How every data set's answers are scored: with lemmas only where WordNet's dictionary is
// installed.
std::string normalisations(const Config& config) {
  std::string names;
  for (const DatasetConfig& dataset : config.datasets) {
    std::vector<std::string> metrics = further_metrics(dataset);
    metrics.insert(metrics.begin(), info_of(dataset).metric);
    for (const std::string& metric : metrics) {
      const std::string lemmas = lemmas_fingerprint(metric);
      names += (names.empty() ? "" : "; ") + normalisation_name(metric);
      if (!lemmas.empty()) names += " of " + lemmas;
    }
  }
  return names;
}

void check_same_config(Communicator& world, const Config& config) {
  const Json mine = {{"config", hash128_hex(config_toml(config))},
                     {"normalisations", normalisations(config)}};
  const std::vector<std::string> all = world.all_gather(
      mine.dump(), {config.run.timeout_s, "every rank's configuration", "all ranks"});
  const Json first = Json::parse(all[0]);
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Json theirs = Json::parse(all[rank]);
    if (theirs.at("config") != first.at("config")) {
      fail(Exit::kUsage,
           "Rank {} reads another configuration than rank 0: all nodes must see the same file.",
           rank);
    }
    if (theirs.at("normalisations") != first.at("normalisations")) {
      fail(Exit::kEnvironment,
           "Rank {} would score by '{}', rank 0 by '{}': install the same WordNet dictionary on "
           "all nodes (Debian's wordnet-base), or on none.",
           rank, theirs.at("normalisations").get<std::string>(),
           first.at("normalisations").get<std::string>());
    }
  }
}

void set_threads(const RunConfig& run, const Layout& layout, int world_rank) {
  const int cores = cores_of({own_cores()});
  const int threads = run.threads > 0 ? static_cast<int>(run.threads)
                                      : std::max(1, layout.node_cores / layout.ranks_on_node);
  if (threads > cores) {
    spdlog::warn(
        "Rank {} works with {} threads, but may use {} cores: launch with --bind-to none, or map "
        "more "
        "cores to a rank.",
        world_rank, threads, cores);
  }
  at::set_num_threads(threads);
}

LanePlace place_of(const Layout& layout, int rank, const Config& config,
                   const std::string& device) {
  LanePlace place;
  for (size_t lane = 0; lane < layout.lanes.size(); ++lane) {
    const LaneRanks& ranks = layout.lanes[lane];
    if (ranks.sender != rank && ranks.receiver != rank) continue;
    place.lane = static_cast<int>(lane);
    place.role = ranks.sender == ranks.receiver ? Role::kBoth
                 : ranks.sender == rank         ? Role::kSender
                                                : Role::kReceiver;
    place.peer =
        place.role == Role::kSender ? 1 : 0;  // the lane's communicator: sender 0, receiver 1
  }
  if (device == "cuda") {
    place.device =
        at::Device(at::kCUDA, static_cast<at::DeviceIndex>(layout.rank_on_node % gpu_count()));
  }
  const TransportChoice wanted = config.run.transport;
  const bool alone = place.role == Role::kBoth;
  const bool nccl = wanted == TransportChoice::kNccl ||
                    (wanted == TransportChoice::kAuto && device == "cuda" && !alone &&
                     layout.gpu_for_each && !nccl_version().empty());
  place.transport = nccl ? "nccl" : alone ? "loopback" : "mpi";
  if (nccl && !layout.gpu_for_each) {
    fail(Exit::kEnvironment,
         "A node has more ranks than GPUs ({} ranks and {} GPUs on this one): NCCL needs one GPU a "
         "rank. "
         "Start fewer ranks, or set run.transport = \"mpi\".",
         layout.ranks_on_node, gpu_count());
  }
  return place;
}

// Rank 0's side of a sweep: what the coordinator needs.
struct Office {
  Plan plan;
  std::vector<PairLock> locks;
  std::vector<bool> ours;
  Stored stored;
  std::optional<Journal> journal;  // none: nothing is left to do
};

// Pairs that live runs hold are left out, by name.
void claim_pairs(Office& office) {
  PairLocks locks(office.plan.config.run.output);
  for (const PairConfig& pair : office.plan.config.pairs) {
    std::optional<PairLock> lock = locks.try_claim(pair.name);
    office.ours.push_back(lock.has_value());
    if (lock) {
      office.locks.push_back(std::move(*lock));
    } else {
      spdlog::warn("Pair '{}' is held by another run ({}): it is left out here.", pair.name,
                   locks.owner(pair.name));
    }
  }
}

bool all_done(const Plan& plan, const Stored& stored) {
  for (const Cell& cell : plan.cells) {
    for (uint32_t sample = 0; sample < cell.samples; ++sample) {
      if (!stored.is_done(cell.key, sample)) return false;
    }
  }
  return true;
}

// Whether the newest run that had cells wanted the very cells of this one. Then, if all is done, a
// journal of this run would say nothing new.
bool wanted_before(const Office& office, const Journals& journals) {
  const auto newest = std::ranges::find_if(journals.runs.rbegin(), journals.runs.rend(),
                                           [](const auto& run) { return !run.cells.empty(); });
  if (newest == journals.runs.rend()) return false;
  using Wanted = std::tuple<std::string, std::string, std::string, std::string, uint64_t>;
  std::vector<Wanted> before, now;
  for (const CellRecord& cell : newest->cells) {
    Wanted wanted{cell.pair, cell.dataset, cell.method, cell.key, cell.n_planned};
    if (std::ranges::count(before, wanted) == 0) before.push_back(std::move(wanted));
  }
  for (const Cell& cell : office.plan.cells) {
    now.emplace_back(office.plan.config.pairs[cell.pair].name,
                     office.plan.datasets[cell.dataset].info.name, cell.spec.label(), cell.key,
                     static_cast<uint64_t>(cell.samples));
  }
  return before == now;
}

void open_office(Office& office, const Config& config, const std::string& device,
                 const std::vector<std::string>& argv) {
  office.plan = make_plan(config, device);
  require_writable_folder(config.run.output);
  require_replaceable(config.run.output / "results.h5");
  claim_pairs(office);
  const Journals journals = read_journals(config.run.output);
  require_same_data(office.plan, journals);
  for (const JournalFault& fault : journals.faults) spdlog::warn("{}", describe(fault));
  office.stored = Stored(journals);
  const bool done = all_done(office.plan, office.stored);
  const bool nothing_ours = std::ranges::none_of(office.ours, [](bool mine) { return mine; });
  if (nothing_ours && !done) {
    fail(Exit::kUsage,
         "Every pair of this sweep is held by another live run on '{}': wait for it, or choose "
         "another "
         "folder with --output.",
         config.run.output.string());
  }
  if (done && wanted_before(office, journals)) {
    spdlog::info("Every answer of this sweep is stored in '{}' already: nothing is left to do.",
                 config.run.output.string());
    return;
  }
  office.journal.emplace(config.run.output, describe_run(office.plan, new_run_id(), argv));
}

Exit coordinate(Office& office, Communicator& tasks, const Layout& layout,
                const std::function<void(const Results&)>& finished) {
  Coordinator coordinator(office.plan, office.stored, *office.journal, office.locks, tasks);
  const Exit code = coordinator.run(layout.lanes, office.ours);
  finished(merge_and_log(office.plan.config.run.output));
  return code;
}

}  // namespace

Results merge_and_log(const std::filesystem::path& output, Keys keys) {
  Results results = merge(output, keys);
  for (const JournalFault& fault : results.journals.faults) spdlog::warn("{}", describe(fault));
  for (const std::string& line : left_out_text(results)) spdlog::info("{}", line);
  if (keys == Keys::kNewest && !results.left_out.empty()) {
    spdlog::info("'kvcomm merge --all {}' writes them beside the others, into all.h5.",
                 output.string());
  }
  return results;
}

std::string device_kind(const RunConfig& run) {
  const bool there = gpu_count() > 0;
  if (run.device == DeviceChoice::kCuda && !there) {
    fail(
        Exit::kEnvironment,
        "run.device = \"cuda\", but this build or machine has no usable GPU: set it to \"auto\" or "
        "\"cpu\", or build with the preset 'cuda' where nvidia-smi works.");
  }
  return run.device == DeviceChoice::kCpu || !there ? "cpu" : "cuda";
}

Exit run_sweep(Communicator& world, const std::function<Config()>& configure,
               const std::vector<std::string>& argv,
               const std::function<void(const Results&)>& finished) {
  Config config;
  Office office;
  std::string device;
  std::exception_ptr failure = attempt([&] {
    check_world(world.size());
    config = configure();
    device = device_kind(config.run);
    if (world.rank() != 0) return;
    open_office(office, config, device, argv);
    if (!office.journal) finished(merge_and_log(config.run.output));
  });
  const bool nothing_to_do = world.rank() == 0 && !failure && !office.journal;
  if (const auto code = agree(world, failure, nothing_to_do)) return *code;

  Layout layout;
  LanePlace place;
  failure = attempt([&] {
    check_same_config(world, config);
    layout = lay_out(world, config.run, device);
    place = place_of(layout, world.rank(), config, device);
    set_threads(config.run, layout, world.rank());
  });
  if (const auto code = agree(world, failure)) return *code;

  Communicator tasks = world.duplicate();
  Communicator lane_ranks = world.split(place.lane, place.role == Role::kReceiver ? 1 : 0);
  lane_ranks.set_name(fmt::format("lane {}", place.lane));
  Exit code = Exit::kOk;
  std::thread coordinator;
  if (world.rank() == 0) {
    coordinator = std::thread([&] {
      try {
        code = coordinate(office, tasks, layout, finished);
      } catch (const Error& error) {
        spdlog::critical("{}", error.what());
        abort_job(static_cast<int>(error.exit()));  // the lanes may be waiting for tasks
      } catch (const std::exception& error) {
        spdlog::critical("The coordinator failed: {}", error.what());
        abort_job(static_cast<int>(Exit::kInternal));
      }
    });
  }
  std::optional<Lane>
      lane;  // outlives the handlers: closing channels would wait for a peer in vain
  try {
    lane.emplace(config, place, tasks, lane_ranks);
    lane->run();
  } catch (const Error& error) {
    spdlog::critical("{}", error.what());
    abort_job(static_cast<int>(error.exit()));  // its peer and the coordinator would wait for it
  } catch (const std::exception& error) {
    spdlog::critical("Lane {} failed: {}", place.lane, error.what());
    abort_job(static_cast<int>(Exit::kInternal));
  }
  if (coordinator.joinable()) coordinator.join();
  // Nobody leaves with a code before rank 0 has put the results in place: mpirun would kill it.
  const std::vector<std::string> codes = world.all_gather(
      std::to_string(static_cast<int>(code)), {kEndTimeout_s, "rank 0's results", "all ranks"});
  return static_cast<Exit>(std::stoi(codes.front()));
}

}  // namespace kvcomm
