#include "plan/plan.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "method/control.h"
#include "model/safetensors.h"
#include "plan/checks.h"
#include "plan/keys.h"
#include "plan/weights.h"
#include "score/score.h"
#include "text/model_folder.h"

namespace kvcomm {

namespace fs = std::filesystem;

std::vector<uint32_t> Cell::calibrating() const {
  std::vector<uint32_t> found;
  for (int64_t i = 0; i < calibration_samples; ++i) {
    found.push_back(static_cast<uint32_t>(calibration_from + i));
  }
  for (int64_t i = 0; recalibrate_every > 0 && i < samples; i += recalibrate_every) {
    found.push_back(static_cast<uint32_t>(i));
  }
  return found;
}

fs::path model_folder(const Config& config, const std::string& name) {
  const fs::path below = config.paths.models / name;
  return fs::is_directory(below) || !fs::is_directory(name) ? below : fs::path(name);
}

Prompts load_prompts(const Config& config) {
  return config.paths.prompts.empty() ? Prompts::built_in() : Prompts::load(config.paths.prompts);
}

std::shared_ptr<const Text> load_text(const fs::path& folder) {
  return std::make_shared<const Text>(Text{Tokenizer::load(folder), ChatTemplate::load(folder)});
}

PromptBuilder make_prompt_builder(const Config& config, const PairConfig& pair,
                                  const DatasetInfo& info, std::shared_ptr<const Text> text) {
  return {
      load_prompts(config),
      std::move(text),
      {.dataset = info.name,
       .kind = info.kind,
       .date = config.run.date,
       .max_input_tokens = config.run.max_input_tokens,
       .truncates = info.truncates,
       .fidelity = fidelity_of(config),
       .thinking = {
           .sender = pair.sender_thinks, .receiver = pair.receiver_thinks, .end = pair.think_end}}};
}

namespace {

// ---- what is absent

// A model's folder has these parts.
struct ModelParts {
  bool config = true, weights = true, tokenizer = true, chat = true;
};

ModelParts find_parts(const fs::path& folder, Absent absent) {
  if (absent == Absent::kRefused) return {};  // what reads them refuses
  return {.config = fs::exists(folder / "config.json"),
          .weights = has_weights(folder),
          .tokenizer = tokenizer_lies_in(folder),
          .chat = ChatTemplate::lies_in(folder)};
}

// Says "'models/org/name' has no weights, no tokenizer.json: ..."; a sender that is no receiver
// needs the weights alone, since both agents of a pair use the receiver's text.
void name_absent(Plan& plan, const std::string& model, bool receives) {
  const fs::path folder = model_folder(plan.config, model);
  const ModelParts parts = find_parts(folder, Absent::kNamed);
  std::vector<std::string> missing;
  if (!parts.config) missing.push_back("no config.json, and its pairs are left out of this plan");
  const std::string other = parts.weights ? "" : other_weights(folder);
  if (parts.config && !parts.weights) missing.push_back("no weights");
  if (parts.config && receives && !parts.tokenizer) missing.push_back("no tokenizer.json");
  if (parts.config && receives && !parts.chat) missing.push_back("no chat template");
  if (missing.empty()) return;
  const fs::path& models = plan.config.paths.models;
  const bool by_name = fs::path(model).is_relative() && folder == models / model;
  const std::string to = models == "models" ? "" : " --to " + models.string();
  const std::string cure =
      by_name ? fmt::format(": `launch/fetch/models.py {}{}` fetches the model", model, to) : "";
  plan.absent.push_back({Exit::kEnvironment, fmt::format("'{}' has {}{}.{}", folder.string(),
                                                         join(missing, ", "), cure, other)});
}

void name_absent_models(Plan& plan) {
  const std::vector<PairConfig>& pairs = plan.config.pairs;
  std::set<std::string> seen;
  for (const PairConfig& pair : pairs) {
    for (const std::string& model : pair.models()) {
      if (!seen.insert(model).second) continue;
      name_absent(plan, model, std::ranges::count(pairs, model, &PairConfig::receiver) > 0);
    }
  }
}

// A GPU is what NCCL moves data between.
void require_gpu_for_nccl(Plan& plan, Absent absent) {
  if (plan.config.run.transport != TransportChoice::kNccl || plan.device_kind != "cpu") return;
  const std::string sentence =
      "run.transport = \"nccl\" moves data between GPUs, and this run would be on the CPU: set it "
      "to \"mpi\" or \"auto\".";
  if (absent == Absent::kRefused) fail(Exit::kEnvironment, "{}", sentence);
  plan.absent.push_back({Exit::kEnvironment, sentence});
}

void plan_dataset(Plan& plan, size_t index, Absent absent) {
  const DatasetConfig& named = plan.config.datasets[index];
  const fs::path& folder = plan.config.paths.data;
  const size_t senders = senders_of(plan.config);
  const bool may_lack = absent == Absent::kNamed && named.path.empty();
  if (!named.is_own()) require_dealt(named.name, senders);
  if (may_lack && !look_for_dataset(named.name, folder)) {
    plan.datasets.push_back({.info = info_of(named)});
    plan.absent.push_back(
        {Exit::kUsage,
         fmt::format("The data set '{}' is not in '{}': `{}` fetches it.", named.name,
                     folder.string(), fetch_command(plan.datasets.back().info, folder))});
  } else {
    plan.datasets.push_back(load_configured_dataset(plan.config, index, senders));
  }
  const Dataset& dataset = plan.datasets.back();
  warn_of_scores(dataset, named);
  if (!dataset.warning.empty()) spdlog::warn("{}", dataset.warning);
}

// ---- pairs

std::string in_words(const Tokenizer::Difference& difference) {
  const auto words = [](const std::optional<int64_t>& id) {
    return id ? fmt::format("the id {}", *id) : "no id";
  };
  return fmt::format("'{}' has {} in the sender's tokenizer and {} in the receiver's",
                     difference.token, words(difference.there), words(difference.here));
}

// Finds out what a sender's own tokenizer makes of the receiver's ids.
void compare_ids(PlannedPair& planned, const fs::path& sender, const Tokenizer& receiver,
                 const ModelParts& parts) {
  if (sender == planned.receiver.folder) return;
  if (!tokenizer_lies_in(sender)) {
    if (!parts.weights) return;  // the model is absent altogether
    planned.ids_doubt =
        fmt::format("'{}' has no tokenizer.json, which would show that its ids are the receiver's",
                    sender.string());
    return;
  }
  try {
    using Sort = Tokenizer::Sort;
    if (read_tokenizer_files(sender).hash == receiver.hash()) return;
    const auto own = Tokenizer::load(sender);
    const auto ordinary = receiver.first_difference(own, Sort::kOrdinary);
    const auto any = ordinary ? ordinary : receiver.first_difference(own, Sort::kAdded);
    if (any) planned.ids_warning = in_words(*any);
    if (ordinary) planned.ids_doubt = planned.ids_warning;
  } catch (const Error& unreadable) {
    planned.ids_doubt =
        fmt::format("the sender's own tokenizer cannot be read ({})", unreadable.what());
  }
}

// A special token that only its name is known of must not lead beyond the model's own table.
void require_trained(const PlannedPair& planned, const Tokenizer& tokenizer) {
  const int64_t last = planned.token_ids - 1, rows = planned.receiver.config.vocab;
  if (last < rows || tokenizer.lists(last)) return;
  fail(Exit::kEnvironment,
       "'{0}' names the special token '{1}' in its tokenizer_config.json or "
       "special_tokens_map.json, and its tokenizer.json does not have it: it would get the id {2}, "
       "and by config.json the embedding table has {3} rows. Take the name out, or fetch the "
       "model's folder anew.",
       planned.receiver.folder.string(), planned.last_token, last, rows);
}

// Reads the receiver's tokenizer and chat template, as far as they are there.
void plan_text(const Config& config, PlannedPair& planned, Absent absent, bool senders_are_asked) {
  const fs::path& folder = planned.receiver.folder;
  const ModelParts receiver = find_parts(folder, absent);
  std::optional<Tokenizer> tokenizer;
  if (receiver.tokenizer) {
    tokenizer = Tokenizer::load(folder);
    planned.tokenizer_hash = tokenizer->hash();
    planned.token_ids = tokenizer->vocab_size();
    planned.last_token = tokenizer->decode(std::array{planned.token_ids - 1}, false);
    require_trained(planned, *tokenizer);
    planned.cleans_up_spaces = tokenizer->cleans_up_spaces();
    try {
      letter_ids(*tokenizer);
    } catch (const Error& none) {
      planned.letters_doubt = none.what();
    }
    for (const PlannedModel& sender : planned.senders) {
      if (!senders_are_asked || !planned.ids_doubt.empty()) break;  // the first is told
      compare_ids(planned, sender.folder, *tokenizer, find_parts(sender.folder, absent));
    }
  }
  if (receiver.chat) {
    const auto chat = ChatTemplate::load(folder);
    chat.render("Hello", config.run.date);  // what refuses any message is told before weights load
    planned.chat_hash = chat.hash();
    planned.eos_token = chat.eos_token();
    const auto eos = tokenizer ? tokenizer->id_of(planned.eos_token) : std::nullopt;
    planned.eos_known = eos && tokenizer->lists(*eos);
  }
}

PlannedPair plan_pair(const Config& config, const PairConfig& pair, Absent absent) {
  const Fidelity fidelity = fidelity_of(config);
  const bool senders_are_asked = std::ranges::any_of(config.methods, [&](const MethodSpec& spec) {
    return profile_of(spec, fidelity).sender_reads();
  });
  PlannedPair planned{.receiver = {.folder = model_folder(config, pair.receiver)}};
  for (const std::string& sender : pair.senders) {
    planned.senders.push_back({.folder = model_folder(config, sender)});
  }
  const auto has_config = [&](const PlannedModel* model) {
    return find_parts(model->folder, absent).config;
  };
  if (!std::ranges::all_of(planned.models(), has_config)) return planned;
  const auto load = [](PlannedModel& model) { model.config = load_model_config(model.folder); };
  std::ranges::for_each(planned.senders, load);
  load(planned.receiver);
  plan_text(config, planned, absent, senders_are_asked);
  return planned;
}

// ---- cells

// Says which samples calibrate the cell, and returns how many are left to be scored: those behind
// the published number are never scored; where there are none, the last are set aside. `limit` has
// no say in it.
int64_t set_calibration(Cell& cell, const Profile& profile, const Dataset& dataset) {
  const int64_t all = sample_count(dataset), wanted = profile.calibration_samples;
  cell.calibration_samples = std::min(wanted, all);
  if (!profile.held_out || wanted == 0) return all;
  if (std::ssize(dataset.rest) >= wanted) {
    cell.calibration_from = all;
    return all;
  }
  if (wanted >= all) {
    fail(Exit::kUsage,
         "calibration = \"held_out\" sets {} samples aside, and '{}' has {}: choose fewer "
         "calibration_samples.",
         wanted, dataset.info.name, all);
  }
  cell.calibration_from = all - wanted;
  return all - wanted;
}

// Makes a cell, without its id. What is wrong with it is told with the method's place in the
// configuration, where the user looks for it.
Cell plan_cell(const Plan& plan, const Prompts& prompts, const Cell& place) {
  const Config& config = plan.config;
  Cell cell = place;
  const Profile profile = profile_of(cell.spec, plan.fidelity);
  const int64_t all = set_calibration(cell, profile, plan.datasets[cell.dataset]);
  const int64_t limit = sample_limit(config, config.datasets[cell.dataset], cell.spec);
  cell.samples = limit == 0 ? all : std::min(limit, all);
  cell.recalibrate_every = profile.recalibrate_every;
  if (control_of(cell.spec) == Control::kDeranged &&
      sample_count(plan.datasets[cell.dataset]) < 2) {
    fail(Exit::kUsage, "control = \"deranged\" sends another sample's message, and '{}' has one.",
         plan.datasets[cell.dataset].info.name);
  }
  check_method(cell.spec, plan.pairs[cell.pair], plan.fidelity);
  check_dataset(cell.spec, plan.pairs[cell.pair], plan.datasets[cell.dataset].info, plan.fidelity);
  set_keys(cell, plan, prompts);  // none yet, as the weights are not known; its prompts are checked
  return cell;
}

// Makes the cells of one method for a pair and a data set. Those that the configuration names by
// hand as well are left to its own entry, so that none is there twice.
std::vector<Cell> plan_method(const Plan& plan, const Prompts& prompts, const Cell& place) {
  const Config& config = plan.config;
  const MethodSpec& method = config.methods[place.method];
  const PairConfig& pair = config.pairs[place.pair];
  std::vector<Cell> cells;
  try {
    const PlannedPair& planned = plan.pairs[place.pair];
    const bool by_receiver = profile_of(method, plan.fidelity).receiver_reads();
    const int64_t layers = (by_receiver ? planned.receiver : planned.senders.front()).config.layers;
    for (MethodSpec& spec : expand_layers(for_pair(method, pair), layers)) {
      const bool by_hand = stands_for_many(method) &&
                           std::ranges::count(config.methods, spec.label(), &MethodSpec::label) > 0;
      if (by_hand) continue;
      cells.push_back(place);
      cells.back().spec = std::move(spec);
      cells.back() = plan_cell(plan, prompts, cells.back());
    }
  } catch (const Error& error) {
    const auto source = config.sources.find(fmt::format("method.{}.name", place.method));
    fail(error.exit(), "{}{} for pair '{}': {}",
         source == config.sources.end() ? "" : source->second + ": ",
         cells.empty() ? method.label() : cells.back().spec.label(), pair.name, error.what());
  }
  return cells;
}

// Keys were turned by the sender's angles, queries are turned by the receiver's.
void warn_of_rope(const Plan& plan, size_t index) {
  if (std::ranges::none_of(plan.config.methods, shares_layers)) return;
  const ModelConfig& r = plan.pairs[index].receiver.config;
  for (const PlannedModel& sender : plan.pairs[index].senders) {
    const ModelConfig& s = sender.config;
    if (s.rope_theta == r.rope_theta && s.rope_scaling == r.rope_scaling) continue;
    spdlog::warn(
        "Pair '{}': the sender's rotary positions differ from the receiver's (base {} and {}).",
        plan.config.pairs[index].name, s.rope_theta, r.rope_theta);
  }
}

// A prompt that leaves out what it is there to ask about may be meant, as an ablation.
void warn_of_prompts(const Plan& plan, const Prompts& prompts) {
  std::set<std::pair<size_t, std::string>> seen;
  for (const Cell& cell : plan.cells) {
    const DatasetInfo& info = plan.datasets[cell.dataset].info;
    for (const std::string& key :
         prompt_keys(profile_of(cell.spec, plan.fidelity), plan.config.pairs[cell.pair])) {
      const auto missing = prompts.left_out(info.name, info.kind, key);
      if (missing.empty() || !seen.emplace(cell.dataset, key).second) continue;
      spdlog::warn("The prompt '{}' for data set '{}' has no {}: what is asked leaves that out.",
                   key, info.name, join(missing, " and no "));
    }
  }
}

// Methods between fine-tunes of one base go on where their tokenizers differ.
void warn_of_ids(const Plan& plan) {
  for (size_t i = 0; i < plan.pairs.size(); ++i) {
    const bool concerns = std::ranges::any_of(plan.cells, [&](const Cell& cell) {
      return cell.pair == i && profile_of(cell.spec, plan.fidelity).sender_reads();
    });
    if (!concerns || plan.pairs[i].ids_warning.empty()) continue;
    spdlog::warn("Pair '{}': the sender's model is given ids of the receiver's tokenizer, and {}.",
                 plan.config.pairs[i].name, plan.pairs[i].ids_warning);
  }
}

}  // namespace

Plan make_plan(Config config, const std::string& device_kind, Absent absent, Hashing hashing) {
  const Fidelity fidelity = fidelity_of(config);
  Plan plan{.config = std::move(config), .device_kind = device_kind, .fidelity = fidelity};
  const Prompts prompts = load_prompts(plan.config);
  require_gpu_for_nccl(plan, absent);
  require_equal_senders(plan.config);
  for (size_t i = 0; i < plan.config.datasets.size(); ++i) plan_dataset(plan, i, absent);
  for (const PairConfig& pair : plan.config.pairs) {
    plan.pairs.push_back(plan_pair(plan.config, pair, absent));
    plan.pairs.back().batch = std::max<int64_t>(plan.config.run.batch, 1);
  }
  if (absent == Absent::kNamed) name_absent_models(plan);
  for (size_t pair = 0; pair < plan.pairs.size(); ++pair) {
    if (!plan.pairs[pair].has_configs()) continue;
    warn_of_rope(plan, pair);
    for (size_t dataset = 0; dataset < plan.datasets.size(); ++dataset) {
      for (size_t method = 0; method < plan.config.methods.size(); ++method) {
        for (Cell& cell :
             plan_method(plan, prompts, {.pair = pair, .dataset = dataset, .method = method})) {
          cell.id = static_cast<uint32_t>(plan.cells.size());
          plan.cells.push_back(std::move(cell));
        }
      }
    }
  }
  warn_of_prompts(plan, prompts);
  warn_of_ids(plan);
  require_thought_ends(plan);
  plan_weights(plan, absent, hashing);
  for (Cell& cell : plan.cells) set_keys(cell, plan, prompts);
  return plan;
}

}  // namespace kvcomm
