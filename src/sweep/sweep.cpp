#include "sweep/sweep.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <tuple>

#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "comm/heartbeat.h"
#include "lane/announce.h"
#include "lane/topology.h"
#include "lane/worker.h"
#include "model/device_watch.h"
#include "plan/checks.h"
#include "plan/effort.h"
#include "plan/memory.h"
#include "schedule/coordinator.h"
#include "score/score.h"
#include "store/locks.h"
#include "store/process.h"
#include "store/results_file.h"
#include "sweep/agree.h"
#include "sweep/provenance.h"

namespace kvcomm {

namespace {

using Json = nlohmann::json;

constexpr Seconds kPlanTimeout_s = 6 * 3600;  // until rank 0 has read all data and weights
constexpr Seconds kEndTimeout_s = 3600;       // until rank 0 has merged the journals

// Tells how every data set's answers are scored: with lemmas only where WordNet's dictionary is
// installed, so that ranks on other nodes may do otherwise.
std::string normalisations(const Config& config) {
  std::string names;
  for (const DatasetConfig& dataset : config.datasets) {
    std::vector<std::string> metrics{info_of(dataset).metric};
    std::ranges::copy(further_metrics(dataset), std::back_inserter(metrics));
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

void log_left_out(const Results& results, const std::filesystem::path& output) {
  for (const std::string& line : left_out_text(results)) spdlog::info("{}", line);
  if (results.left_out.empty()) return;
  spdlog::info("'kvcomm merge --all {}' writes them beside the others, into all.h5.",
               output.string());
}

// Rank 0 alone has these: what the coordinator works with.
struct RankZero {
  Plan plan;
  std::vector<PairLock> locks;
  std::vector<bool> ours;
  CompletedIndex stored;
  Effort effort;
  std::optional<Journal> journal;  // none: nothing is left to do
  std::optional<Results> done;     // then
};

// Pairs that live runs hold are left out, and named: two runs would only do the same work twice.
void claim_pairs(RankZero& rank_zero) {
  PairLocks locks(rank_zero.plan.config.run.output);
  for (const PairConfig& pair : rank_zero.plan.config.pairs) {
    std::optional<PairLock> lock = locks.try_claim(pair.name);
    rank_zero.ours.push_back(lock.has_value());
    if (lock) {
      rank_zero.locks.push_back(std::move(*lock));
    } else {
      spdlog::warn("Pair '{}' is held by another run ({}): it is left out here.", pair.name,
                   locks.owner(pair.name));
    }
  }
}

bool all_done(const Plan& plan, const CompletedIndex& stored) {
  for (const Cell& cell : plan.cells) {
    for (uint32_t sample = 0; sample < cell.samples; ++sample) {
      if (!stored.is_done(cell.key, sample)) return false;
    }
  }
  return true;
}

// Tells whether the newest run that had cells wanted the very cells of this one. Then, if all is
// done, a journal of this run would say nothing new.
bool wanted_before(const RankZero& rank_zero, const Journals& journals) {
  const auto newest = std::ranges::find_if(journals.runs.rbegin(), journals.runs.rend(),
                                           [](const auto& run) { return !run.cells.empty(); });
  if (newest == journals.runs.rend()) return false;
  using Wanted = std::tuple<std::string, std::string, std::string, std::string, uint64_t>;
  std::vector<Wanted> before, now;
  for (const CellRecord& cell : newest->cells) {
    Wanted wanted{cell.pair, cell.dataset, cell.method, cell.key, cell.n_planned};
    if (std::ranges::count(before, wanted) == 0) before.push_back(std::move(wanted));
  }
  for (const Cell& cell : rank_zero.plan.cells) {
    now.emplace_back(rank_zero.plan.config.pairs[cell.pair].name,
                     rank_zero.plan.datasets[cell.dataset].info.name, cell.spec.label(), cell.key,
                     static_cast<uint64_t>(cell.samples));
  }
  return before == now;
}

bool nothing_is_left(const RankZero& rank_zero, const Journals& journals) {
  const std::string output = rank_zero.plan.config.run.output.string();
  const bool done = all_done(rank_zero.plan, rank_zero.stored);
  const bool nothing_ours = std::ranges::none_of(rank_zero.ours, [](bool mine) { return mine; });
  if (nothing_ours && !done) {
    fail(Exit::kUsage,
         "Every pair of this sweep is held by another live run on '{}': wait for it, or choose "
         "another folder with --output.",
         output);
  }
  const bool all_asked =
      missing_questions(rank_zero.plan, rank_zero.stored, rank_zero.ours).empty();
  if (!done || !all_asked || !wanted_before(rank_zero, journals)) return false;
  spdlog::info("Every answer of this sweep is stored in '{}' already: nothing is left to do.",
               output);
  return true;
}

void prepare(RankZero& rank_zero, const Config& config, const Layout& layout,
             const std::string& device, Faults& faults, const std::vector<std::string>& argv,
             Stop& stop) {
  rank_zero.plan = make_plan(config, device);
  stop.begin_work(config.run.grace_s);  // the files that follow must not be left half made
  require_writable_folder(config.run.output);
  require_replaceable(config.run.output / "results.h5");
  claim_pairs(rank_zero);
  Journals journals = read_journals(config.run.output);
  require_same_data(rank_zero.plan, journals);
  log_faults(journals);
  rank_zero.stored = CompletedIndex(journals);
  if (nothing_is_left(rank_zero, journals)) {
    rank_zero.done.emplace(merge_read(config.run.output, std::move(journals)));
    return;
  }
  fit_batches(rank_zero.plan, layout.memory_bytes, layout.lanes.front().is_one_rank());
  if (layout.lanes.size() > 1) {  // else any order is as good
    TokenCounter counter(rank_zero.plan, Counting::kEstimated);
    rank_zero.effort = effort_of(rank_zero.plan, rough_hardware(device), counter);
  }
  rank_zero.journal.emplace(
      config.run.output, describe_run(rank_zero.plan, new_run_id(), argv),
      [&faults](int fd, std::string_view line) { return faults.write(fd, line); });
}

// Returns once the results are written; where it was stopped, not at all.
Exit coordinate(RankZero& rank_zero, LaneLink& tasks, const Layout& layout, Stop& stop,
                const std::function<void(const Results&)>& finished) {
  const std::filesystem::path& output = rank_zero.plan.config.run.output;
  Coordinator coordinator(rank_zero.plan, rank_zero.stored, *rank_zero.journal, rank_zero.locks,
                          tasks, [&stop] { return stop.asked(); });
  Exit code = coordinator.run(layout.lanes, rank_zero.ours, std::move(rank_zero.effort));
  if (code == Exit::kStopped) {
    merge(output);  // Open MPI's mpirun gives its ranks no more than a second after Ctrl-C
    code = coordinator.finish_in_hand();
  }
  stop.end_work();
  finished(merge_and_log(output));
  if (code == Exit::kStopped) {
    spdlog::warn("Stopped. What is done is stored; the same command goes on from there.");
    rank_zero.locks.clear();
    stop.leave();
  }
  return code;
}

// Runs the coordinator in a thread of its own. What it throws ends the job: the lanes may be
// waiting for tasks.
std::thread start(std::function<void()> coordinate) {
  return std::thread([coordinate = std::move(coordinate)] {
    try {
      coordinate();
    } catch (const Error& error) {
      spdlog::critical("{}", error.what());
      abort_job(static_cast<int>(error.exit()));
    } catch (const std::exception& error) {
      spdlog::critical("The coordinator failed: {}", error.what());
      abort_job(static_cast<int>(Exit::kInternal));
    }
  });
}

// Makes a worker and lets it work. What it throws ends the job: its peer and the coordinator would
// wait for it. The worker outlives the handlers: closing pipes would wait for a peer in vain.
void work_in(std::optional<Worker>& worker, const Config& config, const Seat& seat, TaskLink& tasks,
             Faults& faults, Communicator& lane_ranks, const Heartbeat& heartbeat) {
  try {
    worker.emplace(config, seat, tasks, faults, &lane_ranks, &heartbeat);
    worker->run();
  } catch (const Error& error) {
    spdlog::critical("{}", error.what());
    abort_job(static_cast<int>(error.exit()));
  } catch (const std::exception& error) {
    spdlog::critical("Lane {} failed: {}", seat.lane, error.what());
    const Exit code = device_works(seat.device) ? Exit::kInternal : Exit::kEnvironment;
    abort_job(static_cast<int>(code));
  }
}

// The coordinator misses any rank that falls silent, the ends of a lane miss each other.
std::set<int> tied_to(const Communicator& world, const Seat& seat) {
  std::set<int> tied(seat.world_ranks.begin(), seat.world_ranks.end());
  tied.insert(0);
  for (int rank = 0; world.rank() == 0 && rank < world.size(); ++rank) tied.insert(rank);
  tied.erase(world.rank());
  return tied;
}

// Lets the lanes work, with rank 0's coordinator beside them; returns the code that all ranks leave
// with.
Exit work_together(Communicator& world, const Config& config, const Seat& seat, Faults& faults,
                   const std::function<Exit(LaneLink&)>& coordinate) {
  Communicator tasks = world.duplicate();
  Communicator lane_ranks = world.split(seat.lane, seat.rank_in_lane());
  lane_ranks.set_name(fmt::format("lane {}", seat.lane));
  const Heartbeat heartbeat(world, tied_to(world, seat), config.run.timeout_s);
  Exit code = Exit::kOk;
  MpiLaneLink lanes(tasks, heartbeat);
  std::thread coordinator;
  if (world.rank() == 0) coordinator = start([&] { code = coordinate(lanes); });
  MpiTaskLink link(tasks, config.run.timeout_s);
  std::optional<Worker> worker;  // its pipes close when all ranks are here
  work_in(worker, config, seat, link, faults, lane_ranks, heartbeat);
  if (coordinator.joinable()) coordinator.join();
  // Nobody leaves with a code before rank 0 has put the results in place: mpirun would kill it.
  const std::vector<std::string> codes = world.all_gather(
      std::to_string(static_cast<int>(code)), {kEndTimeout_s, "rank 0's results", "all ranks"});
  return static_cast<Exit>(std::stoi(codes.front()));
}

}  // namespace

void log_faults(const Journals& journals) {
  for (const JournalFault& fault : journals.faults) spdlog::warn("{}", describe(fault));
}

Results merge_and_log(const std::filesystem::path& output, Keys keys) {
  Results results = merge(output, keys);
  log_faults(results.journals);
  if (keys == Keys::kNewest) log_left_out(results, output);
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

Exit run_sweep(Communicator& world, Stop& stop, const std::function<Config()>& configure,
               Faults& faults, const std::vector<std::string>& argv,
               const std::function<void(const Results&)>& finished) {
  Config config;
  std::string device;
  std::exception_ptr failure = attempt([&] {
    check_launcher(world.size());
    config = configure();
    require_equal_senders(config);
    check_world(world.size(), config.run.placement, static_cast<int>(senders_of(config)));
    device = device_kind(config.run);
  });
  if (const auto code = agree(world, failure)) return *code;

  Layout layout;
  Seat seat;
  int threads = 1;
  failure = attempt([&] {
    check_same_config(world, config);
    layout = lay_out(world, config.run, device, static_cast<int>(senders_of(config)));
    seat = seat_of(layout, world.rank(), config, device);
    threads = set_threads(config.run, layout, world.rank());
  });
  if (const auto code = agree(world, failure)) return *code;

  RankZero rank_zero;
  failure = attempt([&] {
    if (world.rank() != 0) return;
    prepare(rank_zero, config, layout, device, faults, argv, stop);
    if (rank_zero.journal) return;
    stop.end_work();
    log_left_out(*rank_zero.done, config.run.output);
    finished(*rank_zero.done);
  });
  const bool nothing_to_do = world.rank() == 0 && !failure && !rank_zero.journal;
  if (const auto code = agree(world, failure, kPlanTimeout_s, nothing_to_do)) return *code;
  if (world.rank() == 0) spdlog::info("{}", sweep_line(config));
  log_seats(world, seat, threads);
  if (world.rank() == 0 && config.run.batch == 0) {
    spdlog::info("{}", batches_line(rank_zero.plan, layout.memory_bytes));
  }

  return work_together(world, config, seat, faults, [&](LaneLink& lanes) {
    return coordinate(rank_zero, lanes, layout, stop, finished);
  });
}

}  // namespace kvcomm
