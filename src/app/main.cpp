// kvcomm: measures how two language models communicate (KVComm, arXiv 2510.03346).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/bench.h"
#include "app/commands.h"
#include "app/doctor.h"
#include "app/render.h"
#include "app/show.h"
#include "app/simulate.h"
#include "app/status.h"
#include "app/tune.h"
#include "app/verify.h"
#include "base/log.h"
#include "base/text.h"
#include "sweep/provenance.h"

namespace kvcomm {

namespace {

// How much is said on standard error.
void add_log_options(CLI::App& command) {
  const auto set_level = [&](const char* flag, const char* meaning, auto level) {
    return command.add_flag_callback(
        flag, [level] { spdlog::set_level(level); }, meaning);
  };
  CLI::Option* quiet = set_level("--quiet", "Log warnings and errors alone", spdlog::level::warn);
  set_level("--verbose", "Log what each lane is given, too", spdlog::level::debug)->excludes(quiet);
}

void add_sweep_options(CLI::App& command, SweepArguments& arguments) {
  command.add_option("sweep", arguments.file, "The sweep's TOML file")->required();
  command
      .add_option("--set", arguments.sets,
                  "Set any key: run.limit=5, method.kvcomm.ratio=[0.3,0.5], pair.NAME.alpha=0.8; "
                  "may be given several times")
      ->take_all()
      ->allow_extra_args(false);
  command.add_option("-o,--output", arguments.overrides.output,
                     "The folder for results.h5 and the journals (default: run.output, else "
                     "results/<the file's name>)");
  command.add_option("--pair", arguments.overrides.pair,
                     "Only this pair: its name, or its place in the file counted from 0 (default: "
                     "all)");
  command.add_option("--dataset", arguments.overrides.dataset,
                     "Only this data set, by its name (default: all)");
  command.add_option("--limit", arguments.overrides.limit,
                     "Only the first n samples of every data set, 0: all (default: run.limit)");
  command.add_flag("--show-config", arguments.show_config,
                   "Print every value with where it comes from, and leave");
  add_log_options(command);
}

void add_list_options(CLI::App& command, ListArguments& arguments) {
  command.add_option("what", arguments.what, "methods or datasets")
      ->required()
      ->check(CLI::IsMember({"methods", "datasets"}));
  command.add_option("--data", arguments.data, "The folder of the data files")
      ->capture_default_str();
  command.add_option(
      "--model", arguments.model,
      "Show what methods cost in this model, or how long data sets are in its tokens: "
      "a folder, or its name below --models");
  command.add_option("--models", arguments.models, "The folder of the models")
      ->capture_default_str();
  command.add_option("--dtype", arguments.dtype, "Of keys, values and vectors")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  command.add_option("--fidelity", arguments.fidelity, "To the paper, or to its authors' release")
      ->check(CLI::IsMember({"paper", "release"}))
      ->capture_default_str();
}

const std::map<std::string, Lemmas> kNormalisations{{"with-lemmas", Lemmas::kWith},
                                                    {"without-lemmas", Lemmas::kWithout}};

void add_score_options(CLI::App& command, RescoreOptions& options) {
  command
      .add_option("results", options.input,
                  "The folder that a sweep wrote to (its journals are read; its results.h5 where "
                  "it has none), or a results.h5")
      ->required();
  command.add_option("-o,--output", options.output, "The file to write")->required();
  command.add_option("--metric", options.metric, "Of all cells (default: each cell's own)")
      ->check(CLI::IsMember(metric_names()));
  command
      .add_option_function<std::string>(
          "--normalisation",
          [&](const std::string& name) { options.lemmas = kNormalisations.at(name); },
          "Whether the F1s and exact_match compare lemmas (default: where WordNet's dictionary is "
          "installed)")
      ->check(CLI::IsMember({"with-lemmas", "without-lemmas"}));
  command.add_option("--data", options.data,
                     "The folder of the data files (default: where the run had them)");
  add_log_options(command);
}

// What is no command at all, with what was probably meant; nothing where CLI11 can go on.
std::optional<std::string> unknown_command(const CLI::App& app, int argc, char** argv) {
  const auto is_word = [](const std::string& word) { return !word.starts_with('-'); };
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto word = std::ranges::find_if(words, is_word);
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  if (word == words.end() || std::ranges::count(names, *word) > 0) return std::nullopt;
  const std::string near = did_you_mean(*word, names);
  return fmt::format("There is no command '{}'.{} `kvcomm --help` explains them.", *word,
                     near.empty() ? " The commands are " + join(names, ", ") + "." : near);
}

// What the command line asks for, once it is read.
using Action = std::function<Exit()>;
using Words = std::vector<std::string>;

void add_run(CLI::App& app, const Words& argv, Action& action) {
  CLI::App& run =
      *app.add_subcommand("run", "Run a sweep (under mpirun or srun: on all its ranks)");
  const auto arguments = std::make_shared<SweepArguments>(SweepArguments{.argv = argv});
  add_sweep_options(run, *arguments);
  run.add_option("--time-budget", arguments->time_budget_s,
                 "Stop in time for all to be over after so long: 90m, 11.5h, 3600s (default: until "
                 "SLURM_JOB_END_TIME, where that is set)")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, double>{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}))
      ->check(CLI::PositiveNumber);
  run.add_option("--inject", arguments->inject,
                 "Let something go wrong, to see what follows: kill:phase=decode,rank=1 (the list "
                 "is in docs/cluster.md); may be given several times")
      ->take_all()
      ->allow_extra_args(false);
  run.footer("Example: mpirun -np 2 --bind-to none kvcomm run sweep.toml --set run.limit=20");
  run.callback([&action, arguments] { action = [=] { return run_command(*arguments); }; });
}

void add_plan(CLI::App& app, const Words& argv, Action& action) {
  CLI::App& plan = *app.add_subcommand("plan", "Check a sweep and show what it will do");
  const auto arguments = std::make_shared<SweepArguments>(SweepArguments{.argv = argv});
  add_sweep_options(plan, *arguments);
  plan.add_flag("--strict", arguments->strict,
                "Leave with the code that `run` would leave with where something is wrong");
  plan.add_flag("--summary", arguments->summary, "Print the last table alone");
  plan.add_flag("--hash", arguments->hash,
                "Hash weights that no run has hashed yet, so that what is stored is known");
  plan.add_flag("--hours", arguments->hours,
                "Where no row of this sweep tells how long it takes, measure this machine");
  plan.footer(
      "Example: kvcomm plan sweep.toml --strict --summary && sbatch slurm/sweep.sbatch sweep.toml");
  plan.callback([&action, arguments] { action = [=] { return plan_command(*arguments); }; });
}

void add_simulate(CLI::App& app, Action& action) {
  CLI::App& simulate = *app.add_subcommand(
      "simulate", "Show how long a sweep would take on many lanes, without its models");
  const auto arguments = std::make_shared<SimulateArguments>();
  add_sweep_options(simulate, arguments->sweep);
  add_simulate_options(simulate, *arguments);
  simulate.callback(
      [&action, arguments] { action = [=] { return simulate_command(*arguments); }; });
}

void add_status(CLI::App& app, Action& action) {
  CLI::App& status =
      *app.add_subcommand("status", "Show how far the sweeps of a folder are, while they run too");
  const auto arguments = std::make_shared<StatusArguments>();
  add_status_options(status, *arguments);
  status.callback([&action, arguments] { action = [=] { return status_command(*arguments); }; });
}

void add_verify(CLI::App& app, Action& action) {
  CLI::App& verify =
      *app.add_subcommand("verify", "Check that a folder's results are right and complete");
  const auto arguments = std::make_shared<VerifyArguments>();
  add_verify_options(verify, *arguments);
  verify.callback([&action, arguments] { action = [=] { return verify_command(*arguments); }; });
}

void add_merge(CLI::App& app, Action& action) {
  CLI::App& merge = *app.add_subcommand("merge", "Write results.h5 anew from a folder's journals");
  const auto output = std::make_shared<std::string>();
  const auto keys = std::make_shared<Keys>(Keys::kNewest);
  merge.add_option("output", *output, "The folder that sweeps wrote to, or its results.h5")
      ->required();
  merge.add_flag_callback(
      "--all", [keys] { *keys = Keys::kAll; },
      "Write all.h5 in place of results.h5: also what ran with other settings, as cells of their "
      "own");
  add_log_options(merge);
  merge.footer("Example: kvcomm merge results/sweep");
  merge.callback(
      [&action, output, keys] { action = [=] { return merge_command(*output, *keys); }; });
}

void add_show(CLI::App& app, Action& action) {
  CLI::App& show = *app.add_subcommand(
      "show", "Print one sample: what was asked, what is accepted, what each method answered");
  const auto arguments = std::make_shared<ShowArguments>();
  add_show_options(show, *arguments);
  show.callback([&action, arguments] { action = [=] { return show_command(*arguments); }; });
}

void add_score(CLI::App& app, const Words& argv, Action& action) {
  CLI::App& score = *app.add_subcommand("score", "Score stored answers again, without a model");
  const auto options = std::make_shared<RescoreOptions>(RescoreOptions{.argv = argv});
  add_score_options(score, *options);
  score.footer("Example: kvcomm score results/sweep --output again.h5 --metric f1");
  score.callback([&action, options] { action = [=] { return score_command(*options); }; });
}

void add_tune(CLI::App& app, Action& action) {
  CLI::App& tune = *app.add_subcommand(
      "tune", "Choose a sweep's best settings by some samples and score them on others");
  const auto arguments = std::make_shared<TuneArguments>();
  add_tune_options(tune, *arguments);
  tune.callback([&action, arguments] { action = [=] { return tune_command(*arguments); }; });
}

void add_doctor(CLI::App& app, Action& action) {
  CLI::App& doctor = *app.add_subcommand(
      "doctor", "Check this machine, or under mpirun or srun all nodes of a job");
  const auto arguments = std::make_shared<DoctorArguments>();
  add_doctor_options(doctor, *arguments);
  doctor.callback([&action, arguments] { action = [=] { return doctor_command(*arguments); }; });
}

void add_list(CLI::App& app, Action& action) {
  CLI::App& list = *app.add_subcommand("ls", "List the methods, or the data sets and their files");
  const auto arguments = std::make_shared<ListArguments>();
  add_list_options(list, *arguments);
  list.footer(
      "Example: kvcomm ls datasets --data data --model HuggingFaceTB/SmolLM2-135M-Instruct");
  list.callback([&action, arguments] { action = [=] { return list_command(*arguments); }; });
}

void add_render(CLI::App& app, Action& action) {
  CLI::App& render = *app.add_subcommand("render", "Print what a model reads for a message");
  const auto arguments = std::make_shared<RenderArguments>();
  add_render_options(render, *arguments);
  render.callback([&action, arguments] { action = [=] { return render_command(*arguments); }; });
}

}  // namespace

}  // namespace kvcomm

int main(int argc, char** argv) {
  using namespace kvcomm;
  start_log(-1);
  CLI::App app(
      "Measures how two language models communicate: KVComm (arXiv 2510.03346) and what it is "
      "compared with, over MPI and NCCL.");
  app.set_version_flag("--version", version_text,
                       "Print the versions of the program and of what it stands on");
  app.require_subcommand(1);
  app.footer("`kvcomm COMMAND --help` has each command's options and an example.");
  const Words words(argv, argv + argc);
  Action action;
  add_run(app, words, action);
  add_plan(app, words, action);
  add_simulate(app, action);
  add_status(app, action);
  add_verify(app, action);
  add_merge(app, action);
  add_show(app, action);
  add_score(app, words, action);
  add_tune(app, action);
  add_doctor(app, action);
  add_list(app, action);
  add_render(app, action);
  add_bench(app, words, action);
  if (const auto sentence = unknown_command(app, argc, argv)) {
    spdlog::error("{}", *sentence);
    return static_cast<int>(Exit::kUsage);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);  // prints help, version, or what is wrong
    return code == 0 ? 0 : static_cast<int>(Exit::kUsage);
  }
  try {
    return static_cast<int>(action());
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
    return static_cast<int>(error.exit());
  } catch (const std::exception& error) {
    spdlog::error("Internal error: {}", error.what());
    return static_cast<int>(Exit::kInternal);
  }
}
