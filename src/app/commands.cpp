#include "app/commands.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <set>
#include <sstream>
#include <utility>

#include "app/datasets.h"
#include "app/plan_text.h"
#include "app/tables.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "bench/limits.h"
#include "comm/communicator.h"
#include "lane/topology.h"
#include "method/sharing.h"
#include "plan/plan.h"
#include "store/results_file.h"
#include "sweep/provenance.h"
#include "sweep/rates.h"
#include "sweep/signals.h"
#include "sweep/sweep.h"

namespace kvcomm {

namespace {

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

void print_tables(const Results& results) {
  print(results_table(results));
  if (const std::string gains = gains_table(results); !gains.empty()) print("\n" + gains);
}

Config configure(const SweepArguments& arguments) {
  return load_config(arguments.file, arguments.sets, arguments.overrides);
}

using Rows = std::vector<std::vector<std::string>>;

// A line for each parameter, the method's name in the first.
Rows parameter_rows(const MethodType& type, const MethodSpec& spec) {
  Rows rows;
  for (const Parameter& parameter : type.parameters) {
    const nlohmann::json value = spec.resolved.at(parameter.name);
    std::string meaning = parameter.meaning;
    if (!parameter.choices.empty()) meaning += " (" + join(parameter.choices, ", ") + ")";
    rows.push_back({rows.empty() ? type.name : "", parameter.name,
                    value.is_null() ? "-" : value.dump(), meaning});
  }
  return rows;
}

// What a method costs in a model with its default parameters, or those of its example.
std::string cost_text(const MethodSpec& spec, const ModelConfig& model, int64_t element,
                      const Fidelity& fidelity) {
  const std::string cost = wire_cost(spec, model, element, fidelity).text();
  if (!shares_layers(spec)) return cost;
  return fmt::format("{} of {} layers: {}", layers_sent(spec, model.layers, fidelity).text(),
                     model.layers, cost);
}

// The closed form of each kind of payload.
std::string wire_forms() {
  std::string text = "Bytes of a sample (element: 4 with float32, 2 with bfloat16)\n";
  std::set<std::string> seen;
  for (const MethodType& type : methods()) {
    if (type.form.empty() || !seen.insert(type.crosses).second) continue;
    std::string what = type.crosses;
    std::istringstream lines(type.form);
    for (std::string line; std::getline(lines, line);) {
      text += fmt::format("  {:<15}  {}\n", std::exchange(what, ""), line);
    }
  }
  return text;
}

std::string methods_text(const ListArguments& arguments) {
  Config config;
  config.paths.models = arguments.models;
  config.run.fidelity =
      arguments.fidelity == "paper" ? FidelityChoice::kPaper : FidelityChoice::kRelease;
  const Fidelity fidelity = fidelity_of(config);
  const int64_t element =
      element_bytes(arguments.dtype == "float32" ? DtypeChoice::kFloat32 : DtypeChoice::kBfloat16);
  std::optional<ModelConfig> model;
  if (!arguments.model.empty()) model = load_model_config(model_folder(config, arguments.model));
  Rows rows{{"method", "crosses the wire", "what it is"}};
  if (model) rows[0].insert(rows[0].begin() + 2, "in this model");
  Rows parameters{{"method", "parameter", "default", "meaning"}};
  for (const MethodType& type : methods()) {
    const auto spec_with = [&](const nlohmann::ordered_json& set) {
      return make_method_spec(type, set, config.run.seed, fidelity);
    };
    const nlohmann::ordered_json nothing = nlohmann::ordered_json::object();
    rows.push_back({type.name, type.crosses, type.summary});
    std::ranges::move(parameter_rows(type, spec_with(nothing)), std::back_inserter(parameters));
    if (!model) continue;
    const MethodSpec spec = spec_with(type.example);
    rows.back().insert(rows.back().begin() + 2, cost_text(spec, *model, element, fidelity));
  }
  return fmt::format("{}\n{}\n{}", text_table(rows, rows[0].size()), wire_forms(),
                     text_table(parameters, parameters[0].size()));
}

// Of this machine's products and reads of memory, with the shapes of the plan's largest model.
std::optional<Rates> measured_rates(const Plan& plan) {
  const ModelConfig* largest = nullptr;
  for (const PlannedPair& pair : plan.pairs) {
    for (const PlannedModel* model : pair.models()) {
      const bool known = model->config.layers > 0;
      if (known && (largest == nullptr || model->config.hidden > largest->hidden)) {
        largest = &model->config;
      }
    }
  }
  if (largest == nullptr) return std::nullopt;
  if (plan.config.run.threads > 0) at::set_num_threads(static_cast<int>(plan.config.run.threads));
  constexpr int64_t kRows = 64, kBytes = int64_t{1} << 28, kBatch = 8;
  const auto options = at::TensorOptions()
                           .dtype(scalar_type(plan.config.run.dtype))
                           .device(plan.device_kind == "cpu" ? at::kCPU : at::kCUDA);
  const bench::Limit product = bench::product_limit(*largest, options, kRows);
  const bench::Limit read = bench::read_limit(kBytes, options);
  bench::Samples products, reads;
  for (int repeat = 0; repeat < 3; ++repeat) {
    products.push_back(product.time());
    reads.push_back(read.time());
  }
  return Rates{.flops_per_s = product.rate(products),
               .bytes_per_s = kBatch * read.rate(reads),
               .source = fmt::format("at the rate of this machine's bare products ({}) and reads "
                                     "of memory ({}), with batches of {}",
                                     product.name(), read.name(), kBatch)};
}

// By the command line's budget, which begins now, and by what Slurm allows the job.
void end_in_time(Stop& stop, const SweepArguments& arguments) {
  if (arguments.time_budget_s) {
    stop.end_by(now_s() + *arguments.time_budget_s,
                fmt::format("The time budget of {} s is nearly over", *arguments.time_budget_s));
  }
  const char* slurm = std::getenv("SLURM_JOB_END_TIME");  // seconds since 1970
  const Seconds left_s =
      slurm == nullptr ? 0 : std::atof(slurm) - static_cast<double>(std::time(nullptr));
  if (left_s > 0) stop.end_by(now_s() + left_s, "The job's time in Slurm is nearly over");
}

}  // namespace

Exit run_command(const SweepArguments& arguments) {
  if (arguments.show_config) {
    print(show_config(configure(arguments)));
    return Exit::kOk;
  }
  catch_stop_signals();  // first: a start can take long, and a stop then is resumable too
  int argc = 0;
  char** argv = nullptr;
  const MpiEnv mpi(argc, argv);
  Communicator world = Communicator::world();
  start_log(world.size() == 1 ? -1 : world.rank(), spdlog::get_level());
  Stop stop(world);
  end_in_time(stop, arguments);
  Faults faults;
  const auto read_arguments = [&] {
    faults = Faults(arguments.inject, world.rank(), world.size());
    if (world.rank() == 0 && !arguments.inject.empty()) {
      spdlog::warn("This run lets things go wrong, by --inject: {}", join(arguments.inject, "; "));
    }
    return configure(arguments);
  };
  try {
    return run_sweep(world, stop, read_arguments, faults, arguments.argv, print_tables);
  } catch (const Error& error) {  // other ranks may be waiting for this one
    spdlog::critical("{}", error.what());
    abort_job(static_cast<int>(error.exit()));
  }
}

Exit plan_command(const SweepArguments& arguments) {
  const Config config = configure(arguments);
  if (arguments.show_config) {
    print(show_config(config));
    return Exit::kOk;
  }
  const Plan plan = make_plan(config, device_kind(config.run), Absent::kNamed,
                              arguments.hash ? Hashing::kAll : Hashing::kKnown);
  const Journals journals = read_journals(config.run.output);
  require_same_data(plan, journals);
  std::optional<Rates> rates = stored_rates(plan, journals);
  if (!rates && arguments.hours) rates = measured_rates(plan);
  const PlanText text = plan_text(plan, CompletedIndex(journals), rates);
  print(arguments.summary ? text.summary : text.cells + text.summary + text.notes);
  for (const Absence& absence : plan.absent) {
    if (arguments.summary) spdlog::warn("{}", absence.sentence);
  }
  if (!arguments.strict) return Exit::kOk;
  if (!plan.absent.empty()) {
    fail(plan.absent.front().exit, "`run` would stop here: {}", plan.absent.front().sentence);
  }
  require_writable_place(config.run.output);
  require_replaceable(config.run.output / "results.h5");
  return text.some_fail ? Exit::kSomeFailed : Exit::kOk;
}

std::filesystem::path swept_folder(const std::string& given) {
  const std::filesystem::path path = std::filesystem::absolute(given);
  const std::filesystem::path folder =
      std::filesystem::is_regular_file(path) ? path.parent_path() : std::filesystem::path(given);
  if (!journal_files(folder).empty()) return folder;
  fail(Exit::kUsage, "There are no journals in '{}': give the folder that a sweep wrote to.",
       (folder / "journal").string());
}

Exit merge_command(const std::string& given, Keys keys) {
  print_tables(merge_and_log(swept_folder(given), keys));
  return Exit::kOk;
}

Exit score_command(const RescoreOptions& options) {
  print(rescored_table(rescore(options)));
  return Exit::kOk;
}

Exit list_command(const ListArguments& arguments) {
  print(arguments.what == "methods" ? methods_text(arguments) : datasets_text(arguments));
  return Exit::kOk;
}

}  // namespace kvcomm
