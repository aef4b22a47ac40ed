#include "doctor/inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <set>

#include "base/hash.h"
#include "base/text.h"
#include "lane/topology.h"
#include "model/config.h"
#include "model/fingerprint.h"
#include "model/safetensors.h"
#include "plan/memory.h"
#include "plan/plan.h"
#include "score/lemmas.h"
#include "sweep/sweep.h"
#include "text/tokenizer.h"

namespace kvcomm::doctor {

namespace fs = std::filesystem;

namespace {

// For reading all that a sweep reads from a slow file system.
constexpr Seconds kRead_s = 1800;

std::string sizes_of_weights(const fs::path& folder) {
  std::string sizes;
  for (const fs::path& file : safetensors_files(folder)) {
    sizes += fmt::format("{} {}\n", file.filename().string(), fs::file_size(file));
  }
  return hash128_hex(sizes);
}

// Takes hashes of what can be read, and the reasons of what cannot.
class Hashes {
 public:
  void take(const std::string& name, const std::function<std::string()>& hash) {
    try {
      facts_.files[name] = hash();
    } catch (const std::exception& error) {
      facts_.unreadable[name] = error.what();
    }
  }
  Seen seen() const {
    const nlohmann::json all = facts_;
    return {.facts = {{"files", all.at("files")}, {"unreadable", all.at("unreadable")}}};
  }

 private:
  RankFacts facts_;
};

Seen hash_inputs(const Config& config, bool quick) {
  Hashes hashes;
  std::set<std::string> models, receivers;
  for (const PairConfig& pair : config.pairs) {
    for (const std::string& model : pair.models()) models.insert(model);
    receivers.insert(pair.receiver);
  }
  for (const std::string& model : models) {
    const fs::path folder = model_folder(config, model);
    hashes.take("config.json of " + model, [&] {
      load_model_config(folder);
      return hash_file_hex(folder / "config.json");
    });
    hashes.take("the weights of " + model,
                [&] { return quick ? sizes_of_weights(folder) : weights_fingerprint(folder); });
  }
  for (const std::string& model : receivers) {
    const fs::path folder = model_folder(config, model);
    hashes.take("the tokenizer of " + model, [&] { return Tokenizer::load(folder).hash(); });
  }
  for (size_t i = 0; i < config.datasets.size(); ++i) {
    hashes.take("the data of " + config.datasets[i].name,
                [&] { return load_configured_dataset(config, i, senders_of(config)).fingerprint; });
  }
  return hashes.seen();
}

Seen plan_sweep(const Config& config) {
  const Plan plan = make_plan(config, device_kind(config.run), Absent::kNamed, Hashing::kKnown);
  std::vector<std::string> absent;
  for (const Absence& absence : plan.absent) absent.push_back(absence.sentence);
  if (!absent.empty()) {
    return {.check = {.status = Status::kFailed,
                      .found = join(absent, " "),
                      .cure = "Put there what is named, on all nodes."}};
  }
  RankFacts facts;
  for (const Cell& cell : plan.cells) facts.rows += static_cast<uint64_t>(cell.samples);
  for (size_t pair = 0; pair < plan.pairs.size(); ++pair) {
    const PairMemory memory = memory_of(plan, pair, Estimate::kLow);
    facts.needed_alone = std::max(facts.needed_alone, memory.all.with(1));
    facts.needed_by_end =
        std::max({facts.needed_by_end, memory.sender.with(1), memory.receiver.with(1)});
  }
  return {.check = {.found = fmt::format("{} cells, {} rows", plan.cells.size(), facts.rows)},
          .facts = {{"rows", facts.rows},
                    {"needed_alone", facts.needed_alone},
                    {"needed_by_end", facts.needed_by_end}}};
}

}  // namespace

Look configuration_look(const SweepFile& file) {
  return {.name = "configuration",
          .cure = "Mend what the sentence names: every node must see this file.",
          .look = [file] {
            Hashes hashes;
            const std::string text = config_toml(file.load());
            hashes.take("the configuration", [&] { return hash128_hex(text); });
            return hashes.seen();
          }};
}

Look models_look(const Config& config, bool quick) {
  return {.name = "files",
          .cure = "Put models and data where each node reads them fast, or take --quick.",
          .look = [=] { return hash_inputs(config, quick); },
          .timeout_s = kRead_s};
}

Look plan_look(const Config& config) {
  return {.name = "sweep",
          .cure =
              "Mend what the sentence names; `kvcomm plan --strict` with the same file shows "
              "when it is.",
          .look = [=] { return plan_sweep(config); },
          .timeout_s = kRead_s};
}

Look dictionary_look() {
  return {
      .name = "lemmas", .cure = "Install the dictionary anew: Debian's wordnet-base.", .look = [] {
        const WordNet* dictionary = WordNet::installed();
        Hashes hashes;
        const std::string hash = dictionary == nullptr ? "absent" : dictionary->fingerprint();
        hashes.take("WordNet's dictionary", [&] { return hash; });
        Seen seen = hashes.seen();
        if (dictionary != nullptr) {
          seen.check.found =
              fmt::format("WordNet {} in '{}'", dictionary->version(), WordNet::folder().string());
          return seen;
        }
        seen.check = {.status = Status::kWarning,
                      .found = fmt::format("no WordNet in '{}': F1 compares plain words",
                                           WordNet::folder().string()),
                      .cure =
                          "Install Debian's wordnet-base on all nodes, or name the "
                          "dictionary's folder in WNSEARCHDIR."};
        return seen;
      }};
}

Look memory_look(bool may_use_gpu, int rank_on_node, int ranks_on_node) {
  return {.name = "memory", .cure = "See that nvidia-smi works on this node.", .look = [=] {
            const int gpus = may_use_gpu ? gpu_count() : 0;
            const at::Device device =
                gpus == 0
                    ? at::Device(at::kCPU)
                    : at::Device(at::kCUDA, static_cast<at::DeviceIndex>(rank_on_node % gpus));
            return Seen{.facts = {{"memory_bytes", device_memory(device, ranks_on_node)}}};
          }};
}

Check judge_files(const std::vector<RankFacts>& ranks) {
  std::vector<std::string> wrong;
  std::set<std::string> names;
  std::set<int> nodes;
  const auto where = [](const RankFacts& rank) {
    return fmt::format("rank {} on {}", rank.rank, rank.host);
  };
  for (const RankFacts& rank : ranks) {
    nodes.insert(rank.node);
    for (const auto& [name, reason] : rank.unreadable) {
      wrong.push_back(fmt::format("{}: {}: {}", where(rank), name, reason));
    }
    for (const auto& [name, hash] : rank.files) {
      names.insert(name);
      const auto first = std::ranges::find_if(
          ranks, [&](const RankFacts& other) { return other.files.contains(name); });
      if (first->files.at(name) == hash) continue;
      wrong.push_back(
          fmt::format("{} is another on {} than on {}", name, where(rank), where(*first)));
    }
  }
  if (wrong.empty()) {
    return {.name = "files",
            .found = fmt::format(
                "{} are readable{}", few({names.begin(), names.end()}, ", "),
                nodes.size() == 1 ? "" : fmt::format(", and the same on {} nodes", nodes.size()))};
  }
  return {.name = "files",
          .status = Status::kFailed,
          .found = few(wrong, "; "),
          .cure = "Fetch or copy the named files again (launch/fetch/), the same to every node."};
}

Check judge_memory(const std::vector<RankFacts>& ranks, bool alone) {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const RankFacts& rank : ranks) {
    const auto shares_gpu = [&](const RankFacts& other) {
      return rank.gpu && other.gpu && rank.host == other.host && rank.gpu->uuid == other.gpu->uuid;
    };
    const int64_t sharing = std::max<int64_t>(1, std::ranges::count_if(ranks, shares_gpu));
    least = std::min(least, rank.memory_bytes / sharing);
  }
  const RankFacts& zero = ranks.front();
  const int64_t needed = alone ? zero.needed_alone : zero.needed_by_end;
  const std::string has = fmt::format("{:.1f} GiB a rank", gib(least));
  if (needed == 0) return {.name = "memory", .found = has};
  const std::string found =
      fmt::format("{}; weights and one sample take {:.1f} GiB", has, gib(needed));
  if (needed <= least) return {.name = "memory", .found = found};
  return {.name = "memory",
          .status = Status::kFailed,
          .found = found,
          .cure =
              "Use more memory or fewer ranks a node, run.dtype = \"bfloat16\", a smaller "
              "run.prefill_tokens or run.max_input_tokens, or a rank for each end."};
}

}  // namespace kvcomm::doctor
