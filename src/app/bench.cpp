#include "app/bench.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/tables.h"
#include "base/log.h"
#include "bench/bench_model.h"
#include "bench/bench_wire.h"
#include "bench/record.h"
#include "comm/communicator.h"
#include "config/values.h"
#include "plan/plan.h"

namespace kvcomm {

namespace {

using Words = std::vector<std::string>;
using Action = std::function<Exit()>;

// What the commands are asked for beside the measurement.
struct Common {
  Words argv;
  std::string model;  // a name below `models`, or a path to a folder or a file; "": none
  std::string models = PathsConfig{}.models;
  std::string json;  // the record's file; "": none

  std::filesystem::path folder() const {
    if (model.empty() || std::filesystem::is_regular_file(model)) return model;
    return model_folder({.paths = {.models = models}}, model);
  }
};

// Runs a measurement on all ranks; the one that has its report prints and records it.
template <typename Options, typename Report>
Exit measured(Exit (*bench)(Communicator&, const Options&,
                            const std::function<void(const Report&)>&),
              const Options& options, const Common& common, std::string (*table)(const Report&)) {
  int argc = 0;
  char** argv = nullptr;
  const MpiEnv mpi(argc, argv);
  Communicator world = Communicator::world();
  start_log(world.size() == 1 ? -1 : world.rank(), spdlog::get_level());
  try {
    return bench(world, options, [&](const Report& report) {
      std::fputs(table(report).c_str(), stdout);
      std::fflush(stdout);
      bench::write_record(options.record, common.argv, bench::to_json(report));
    });
  } catch (const Error& error) {
    if (world.size() == 1) throw;
    spdlog::critical("{}", error.what());
    abort_job(static_cast<int>(error.exit()));  // the other rank may be waiting for this one
  }
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

// ---- options

// An option whose words are those of the configuration.
template <typename Choice>
void add_choice(CLI::App& command, const char* flag, Choice& choice, const char* meaning) {
  command
      .add_option_function<std::string>(
          flag, [&](const std::string& word) { choice = ValueOf<Choice>::from(word); }, meaning)
      ->check(CLI::IsMember(ValueOf<Choice>::choices()))
      ->default_str(std::string(to_text(choice)));
}

// Makes the measurement what the command does.
template <typename Options, typename Report>
void set_action(CLI::App& command, Action& action, std::shared_ptr<Options> options,
                std::shared_ptr<Common> common,
                Exit (*bench)(Communicator&, const Options&,
                              const std::function<void(const Report&)>&),
                std::string (*table)(const Report&)) {
  command.callback([=, &action] {
    action = [=] {
      options->model = common->folder();
      options->record = common->json;
      return measured(bench, *options, *common, table);
    };
  });
}

// "1,8": each is measured.
template <typename Number>
CLI::Option& add_list(CLI::App& command, const char* flag, std::vector<Number>& numbers,
                      const CLI::Range& range, const char* meaning) {
  return *command.add_option(flag, numbers, meaning)
              ->delimiter(',')
              ->check(range)
              ->capture_default_str();
}

void add_common(CLI::App& command, Common& common, RunConfig& run) {
  command.add_option("--models", common.models, "The folder of the models")->capture_default_str();
  add_choice(command, "--dtype", run.dtype, "Of weights, keys and values");
  add_choice(command, "--device", run.device, "Where tensors lie");
  command
      .add_option("--threads", run.threads,
                  "Of each rank; 0: the cores, shared out among its node's ranks")
      ->check(CLI::Range(int64_t{0}, int64_t{4096}))
      ->capture_default_str();
  command.add_option("--json", common.json, "Write a record of the measurement to this file, too");
}

// ---- model

std::string model_table(const bench::ModelReport& report) {
  std::vector<Words> rows{{"prompt", "generate", "batch", "prompt tokens/s", "spread", "of product",
                           "GFLOP/s", "generated tokens/s", "spread", "of read", "GB/s"}};
  for (const bench::ModelRow& row : report.rows) {
    rows.push_back(
        {std::to_string(row.prompt), std::to_string(row.generate), std::to_string(row.batch),
         fmt::format("{:.1f}", row.prompt_tokens_per_s()), percent(bench::spread(row.prefill)),
         percent(row.prefill_share()), fmt::format("{:.1f}", row.flop_per_s / 1e9),
         fmt::format("{:.1f}", row.generated_tokens_per_s()), percent(bench::spread(row.decode)),
         percent(row.decode_share()), fmt::format("{:.1f}", row.bytes_per_s / 1e9)});
  }
  return fmt::format("{} ({}, {}, {} thread{}, medians of {})\n{}", report.model, report.dtype,
                     report.device, report.threads, report.threads == 1 ? "" : "s",
                     report.rows.front().prefill.size(), text_table(rows, 0));
}

void add_model(CLI::App& bench, const Words& argv, Action& action) {
  CLI::App& command = *bench.add_subcommand(
      "model", "How fast a model reads prompts and generates, beside bare products and reads");
  const auto options = std::make_shared<bench::ModelOptions>();
  const auto common = std::make_shared<Common>(Common{.argv = argv});
  CLI::Option_group& which = *command.add_option_group("which model");
  which.add_option("--model", common->model, "A model's folder, or its name below --models");
  which.add_option("--random-weights", options->random_weights,
                   "A config.json, or a folder with one: random weights of its shapes, in memory");
  which.require_option(1);
  add_list(command, "--prompt", options->prompt, {1, 1'000'000}, "Tokens of each prompt");
  add_list(command, "--generate", options->generate, {2, 1'000'000},
           "Tokens that each sequence generates, whatever ends an answer");
  add_list(command, "--batch", options->batch, {1, 100'000}, "Sequences that are read together");
  command.add_option("--repeats", options->repeats, "Of each measurement; medians are printed")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  add_common(command, *common, options->run);
  command.footer(
      "Example: kvcomm bench model --random-weights models/meta-llama/Llama-3.1-8B-Instruct "
      "--prompt 512 --generate 128 --batch 1,8");
  set_action(command, action, options, common, bench::bench_model, model_table);
}

// ---- wire

constexpr const char* kLoopback = "loopback";  // beside the configuration's own words

std::string milliseconds(Seconds seconds) { return fmt::format("{:.3f}", 1e3 * seconds); }

std::string wire_table(const bench::WireReport& report) {
  std::vector<Words> rows{{"bytes", "layers", "tokens", "p50 ms", "p99 ms", "GB/s", "bare p50 ms",
                           "of bare", "without sums ms", "sums"}};
  for (const bench::WireRow& row : report.rows) {
    rows.push_back({std::to_string(row.bytes), std::to_string(row.layers),
                    std::to_string(row.tokens), milliseconds(bench::median(row.message)),
                    milliseconds(bench::percentile(row.message, 0.99)),
                    fmt::format("{:.2f}", row.bytes_per_s() / 1e9),
                    row.raw.empty() ? "-" : milliseconds(bench::median(row.raw)),
                    row.raw.empty() ? "-" : percent(row.share_of_raw()),
                    milliseconds(bench::median(row.without_sums)), percent(row.share_of_sums())});
  }
  const std::string wire = report.throttle == 0 ? report.transport
                                                : fmt::format("{} at {} GB/s at most",
                                                              report.transport, report.throttle);
  return fmt::format("Keys and values of {} ({}, {}, {}, {} samples)\n{}", report.shape,
                     report.dtype, report.device, wire, report.rows.front().message.size(),
                     text_table(rows, 0));
}

void add_wire(CLI::App& bench, const Words& argv, Action& action) {
  CLI::App& command = *bench.add_subcommand(
      "wire", "How fast keys and values cross, beside bare messages (under mpirun -np 2)");
  const auto options = std::make_shared<bench::WireOptions>();
  const auto common = std::make_shared<Common>(Common{.argv = argv});
  command.add_option("--model", common->model,
                     "A model's folder, its name below --models, or a config.json, whose shape "
                     "keys and values have (default: that of Llama-3.1-8B)");
  std::vector<std::string> transports = ValueOf<TransportChoice>::choices();
  transports.push_back(kLoopback);
  command
      .add_option_function<std::string>(
          "--transport",
          [options](const std::string& word) {
            options->only_loopback = word == kLoopback;
            if (!options->only_loopback)
              options->run.transport = ValueOf<TransportChoice>::from(word);
          },
          "As run.transport; loopback: both ends in one process, without mpirun")
      ->check(CLI::IsMember(transports))
      ->default_str(std::string(to_text(options->run.transport)));
  add_list(command, "--tokens", options->tokens, {1, 10'000'000}, "Tokens of the context");
  CLI::Option& ratio =
      add_list(command, "--ratio", options->ratio, {0.0, 1.0}, "Share of the layers that is sent");
  add_list(command, "--layers", options->layers, {1, 100'000},
           "How many layers are sent, in the ratio's place")
      .excludes(&ratio);
  command.add_option("--samples", options->samples, "Messages of each size that count")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command.add_option("--warm-up", options->warm_up, "Messages of each size before them")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command
      .add_option("--throttle", options->throttle,
                  "GB/s that messages go at most, as over a slower network; bare ones are not held")
      ->check(CLI::PositiveNumber);
  options->run.timeout_s = 60;
  command.add_option("--timeout-s", options->run.timeout_s, "Of each wait for the other rank")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_common(command, *common, options->run);
  command.footer("Example: mpirun -np 2 --bind-to none kvcomm bench wire --tokens 64,1024");
  set_action(command, action, options, common, bench::bench_wire, wire_table);
}

}  // namespace

void add_bench(CLI::App& app, const Words& argv, Action& action) {
  CLI::App& bench = *app.add_subcommand(
      "bench", "Measure the wire or a model, beside what this machine can do at best");
  bench.require_subcommand(1);
  bench.footer(
      "`kvcomm bench wire --help` and `kvcomm bench model --help` have their options.\n"
      "Example: kvcomm bench model --model HuggingFaceTB/SmolLM2-135M-Instruct --batch 1,8");
  add_wire(bench, argv, action);
  add_model(bench, argv, action);
}

}  // namespace kvcomm
