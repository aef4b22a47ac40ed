#include "doctor/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "comm/nccl_link.h"
#include "doctor/cores.h"
#include "doctor/devices.h"
#include "doctor/facts.h"
#include "doctor/folder.h"
#include "doctor/look.h"
#include "doctor/wire.h"
#include "lane/topology.h"
#include "store/process.h"

namespace kvcomm::doctor {

namespace {

using Json = nlohmann::json;

constexpr int kOwnTag = 40, kFactsTag = 41, kWireTag = 42, kCodeTag = 43;
constexpr Seconds kWord_s = 60;        // for a word between ranks that are all there
constexpr Seconds kLooking_s = 150;    // for looks at a machine, copies between GPUs the longest
constexpr Seconds kReading_s = 3600;   // for looks at a sweep's files, which have their own limits
constexpr Seconds kMeasuring_s = 300;  // for the wires of all lanes

// ---- what a rank sees by itself

struct Own {
  Config config;  // the sweep's; without one all is as by default
  Json facts;     // RankFacts
  std::vector<Check> checks;

  // What only told facts is judged later, with those of the other ranks. Whether none failed.
  bool add(std::vector<Look> looks) {
    bool well = true;
    for (Seen& seen : look_at(std::move(looks))) {
      well &= seen.check.status != Status::kFailed;
      facts.merge_patch(seen.facts);
      if (!seen.check.found.empty()) checks.push_back(std::move(seen.check));
    }
    return well;
  }
  void add(const char* name, Check check) {
    check.name = name;
    checks.push_back(std::move(check));
  }
  bool has_failed() const { return exit_of(checks) != Exit::kOk; }
};

RankFacts place_of(const Communicator& world, Communicator& node) {
  const Deadline deadline(kWord_s, "the ranks of this node", "each of them");
  const std::string first = node.all_gather(std::to_string(world.rank()), deadline).front();
  return {.rank = world.rank(),
          .host = host_name(),
          .node = std::stoi(first),
          .ranks_on_node = node.size(),
          .rank_on_node = node.rank()};
}

Own look_around(const Communicator& world, const RankFacts& place, const Start& start,
                const Options& options) {
  Own own{.facts = place};
  own.add("mpi", check_mpi());
  own.add("launcher", check_launcher_of(start, world.size()));
  own.add("pmix", check_pmix(start));
  own.add("signals", check_signals(start));

  const bool has_sweep = options.sweep && own.add({configuration_look(*options.sweep)});
  if (has_sweep) own.config = options.sweep->load();  // which ended in time just now
  const bool wants_gpu = own.config.run.device == DeviceChoice::kCuda;
  const bool may_use_gpu = own.config.run.device != DeviceChoice::kCpu;
  std::vector<Look> looks{cores_look(), dictionary_look()};
  if (may_use_gpu) looks.push_back(devices_look(place.rank_on_node, wants_gpu));
  looks.push_back(memory_look(may_use_gpu, place.rank_on_node, place.ranks_on_node));
  if (may_use_gpu && place.rank_on_node == 0) looks.push_back(peers_look());
  if (has_sweep && place.rank_on_node == 0) {
    looks.push_back(models_look(own.config, options.quick));
  }
  if (has_sweep && world.rank() == 0) looks.push_back(plan_look(own.config));
  if (world.rank() == 0) {
    std::ranges::move(folder_looks(has_sweep ? own.config.run.output : options.output),
                      std::back_inserter(looks));
  }
  own.add(std::move(looks));
  return own;
}

// ---- what ranks say to each other

// Names of files need not be UTF-8.
std::string packed(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

// Rank 0's list of what each rank says, its own too; nothing of those that stay silent.
std::vector<std::optional<Json>> gather(Communicator& world, int tag, const Json& mine,
                                        Seconds timeout_s) {
  if (world.rank() != 0) {
    world.send(packed(mine), 0, tag, {timeout_s, "a report's way", "rank 0"});
    return {};
  }
  std::vector<std::optional<Json>> all(static_cast<size_t>(world.size()));
  all.front() = mine;
  Deadline(timeout_s, "", "").wait([&] {
    while (const auto report = world.poll(tag)) {
      all[static_cast<size_t>(report->source)] = Json::parse(report->bytes);
    }
    return std::ranges::all_of(all, [](const auto& one) { return one.has_value(); });
  });
  return all;
}

Json from_rank_zero(Communicator& world, int tag, const Json& said, Seconds timeout_s) {
  if (world.rank() != 0) {
    return Json::parse(world.receive(0, tag, {timeout_s, "the word of", "rank 0"}).bytes);
  }
  for (int rank = 1; rank < world.size(); ++rank) {
    world.send(packed(said), rank, tag, {kWord_s, "a word's way", fmt::format("rank {}", rank)});
  }
  return said;
}

// ---- what rank 0 makes of it

class Report {
 public:
  explicit Report(std::function<void(const std::vector<Check>&)> finished)
      : finished_(std::move(finished)) {}

  void add(Check check) {
    const auto same_name = [&](const Check& other) { return other.name == check.name; };
    if (std::ranges::none_of(checks_, same_name)) checks_.push_back(std::move(check));
  }
  void add(const std::vector<RankChecks>& ranks) {
    for (Check& check : merged(ranks)) add(std::move(check));
  }
  Exit code() const { return exit_of(checks_); }
  void finish() const { finished_(checks_); }

  // Ends the job with what is known where a rank stayed silent.
  void require_all(const std::vector<std::optional<Json>>& reports, Seconds waited_s) {
    std::vector<std::string> silent;
    for (size_t rank = 0; rank < reports.size(); ++rank) {
      if (!reports[rank]) silent.push_back(fmt::format("rank {}", rank));
    }
    if (silent.empty()) return;
    end_with(fmt::format("nothing came from {} within {:.0f} s", join(silent, ", "), waited_s));
  }
  [[noreturn]] void end_with(const std::string& found) {
    add({.name = "ranks",
         .status = Status::kFailed,
         .found = found,
         .cure = "Run `kvcomm doctor` on each of the job's nodes alone, and see that they reach "
                 "each other: a firewall between them, or a network interface that only some "
                 "have, does this (OMPI_MCA_btl_tcp_if_include names one that all have)."});
    finish();
    abort_job(static_cast<int>(Exit::kEnvironment));
  }

 private:
  std::function<void(const std::vector<Check>&)> finished_;
  std::vector<Check> checks_;
};

// What the ranks must know alike to measure their wires: rank 0's word.
struct World {
  std::vector<RankFacts> ranks;
  Placement placement = Placement::kPack;
  int senders = 1;  // of each lane

  Layout layout(int rank) const {
    Layout layout{.senders = senders};
    std::vector<int> nodes;
    for (const RankFacts& each : ranks) {
      nodes.push_back(each.node);
      layout.hosts.push_back(each.host);
    }
    layout.lanes = make_lanes(nodes, placement, senders);
    layout.device = at::Device(ranks.at(static_cast<size_t>(rank)).device);
    return layout;
  }
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(World, ranks, placement, senders)

// Why NCCL is not measured; "": it is.
std::string nccl_doubt(const std::vector<RankFacts>& ranks) {
  if (nccl_version().empty()) return "this build has none";
  std::set<std::string> gpus;
  for (const RankFacts& rank : ranks) {
    if (!rank.gpu) return fmt::format("rank {} on {} has no GPU", rank.rank, rank.host);
    gpus.insert(rank.host + rank.gpu->uuid);
  }
  return gpus.size() == ranks.size() ? "" : "ranks share a GPU";
}

Check skipped(const char* name, const std::string& why) {
  return {.name = name, .status = Status::kSkipped, .found = why};
}

// What came of a transport's wires: each rank's results under that name.
std::vector<WireResult> results_of(const std::vector<std::optional<Json>>& reports,
                                   const std::string& transport) {
  std::vector<WireResult> all;
  for (const auto& report : reports) {
    for (const Json& result : report->at(transport)) all.push_back(result);
  }
  return all;
}

Check judge_lanes(const World& known, const Layout& layout) {
  const auto ranks = static_cast<int>(known.ranks.size());
  try {
    check_world(ranks, known.placement, known.senders);
  } catch (const Error& error) {
    return {.name = "lanes",
            .status = Status::kFailed,
            .found = error.what(),
            .cure = "Start as many processes as the sentence says."};
  }
  return {
      .name = "lanes",
      .found = fmt::format("{} of {} rank{}", layout.lanes.size(), ranks, ranks == 1 ? "" : "s")};
}

// config: the sweep's, or without pairs where there is none.
void judge(Report& report, const World& known, const Config& config) {
  const Layout layout = known.layout(0);
  report.add(judge_devices(known.ranks));
  report.add(judge_cores(known.ranks, config.run.threads));
  report.add(judge_memory(known.ranks, layout.lanes.empty() || layout.lanes.front().is_one_rank()));
  report.add(judge_space(known.ranks.front()));
  if (config.pairs.empty()) return;
  report.add(judge_files(known.ranks));
  report.add(judge_lanes(known, layout));
}

// Collective. Measures what there is to be measured and, at rank 0, judges it.
void measure_wires(Communicator& world, const World& known, Report& report) {
  const Layout layout = known.layout(world.rank());
  // Rank 0 has something to say before the others end the job.
  const bool speaks = world.rank() == 0;
  const auto dog = watchdog(speaks ? kMeasuring_s : kMeasuring_s + kWord_s, [&] {
    if (speaks) report.end_with("the wires between ranks were not measured in time");
    abort_job(static_cast<int>(Exit::kEnvironment));
  });
  const bool has_wire = !layout.lanes.empty() && !layout.lanes.front().is_one_rank();
  const std::string doubt = layout.lanes.empty() ? "no whole lane" : nccl_doubt(known.ranks);
  Json mine = {{"mpi", Json::array()}, {"nccl", Json::array()}};
  if (has_wire) mine["mpi"] = measure_wire(world, layout, "mpi");
  if (doubt.empty()) mine["nccl"] = measure_wire(world, layout, "nccl");
  const auto reports = gather(world, kWireTag, mine, kMeasuring_s);
  if (!speaks) return;
  report.require_all(reports, kMeasuring_s);
  report.add(has_wire ? judge_wire("wire", results_of(reports, "mpi"))
                      : skipped("wire", "no two ranks make a lane"));
  if (!doubt.empty()) {
    report.add(skipped("nccl", doubt));
    return;
  }
  Check check = judge_wire("nccl", results_of(reports, "nccl"));
  check.found = fmt::format("NCCL {}: {}", nccl_version(), check.found);
  report.add(check);
}

// Rank 0's: takes every rank's checks over, returns every rank's facts.
std::vector<RankFacts> collect(const std::vector<std::optional<Json>>& reports, Report& report) {
  std::vector<RankFacts> ranks;
  std::vector<RankChecks> checks;
  for (const auto& own : reports) {
    if (!own) continue;
    ranks.push_back(own->at("facts"));
    checks.push_back({ranks.back().rank, ranks.back().host, own->at("checks")});
  }
  report.add(checks);
  return ranks;
}

}  // namespace

Exit examine(Communicator& world, Communicator& node, const Start& start, const Options& options,
             const std::function<void(const std::vector<Check>&)>& finished) {
  const Own own = look_around(world, place_of(world, node), start, options);
  // Processes that did not find each other would each say the same.
  const bool is_told = world.size() > 1 || start.task == 0 || !own.has_failed();
  Report report(is_told ? finished : [](const std::vector<Check>&) {});
  const Seconds waits_s = options.sweep ? kReading_s : kLooking_s;
  const auto reports =
      gather(world, kOwnTag, {{"facts", own.facts}, {"checks", own.checks}}, waits_s);
  World known{.placement = own.config.run.placement};
  if (!own.config.pairs.empty()) known.senders = static_cast<int>(senders_of(own.config));
  if (world.rank() == 0) {
    known.ranks = collect(reports, report);
    report.require_all(reports, waits_s);
    judge(report, known, own.config);
  }
  known = from_rank_zero(world, kFactsTag, known, 2 * waits_s + kWord_s);
  measure_wires(world, known, report);
  if (world.rank() == 0) report.finish();
  const Json code =
      from_rank_zero(world, kCodeTag, static_cast<int>(report.code()), kMeasuring_s + kWord_s);
  world.barrier({kWord_s, "their leave", "all ranks"});  // mpirun ends the others with the first
  return static_cast<Exit>(code.get<int>());
}

}  // namespace kvcomm::doctor
