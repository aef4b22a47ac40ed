#include "app/simulate.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <filesystem>

#include "app/tables.h"
#include "base/log.h"
#include "base/scratch_folder.h"
#include "base/text.h"
#include "plan/memory.h"
#include "plan/typical.h"
#include "schedule/simulate.h"

namespace kvcomm {

namespace {

namespace fs = std::filesystem;

// In memory where the system has a place for that: a simulated journal need not outlive a power
// cut.
fs::path scratch_place() {
  const fs::path shared = "/dev/shm";
  return fs::is_directory(shared) ? shared : fs::temp_directory_path();
}

// "8x0.5": so many lanes, and a number above 0.
std::pair<int, double> unlike_lanes(const std::string& text, const char* option) {
  const size_t x = text.find('x');
  const char* end = text.data() + text.size();
  int lanes = 0;
  double value = 0;
  const auto first = std::from_chars(text.data(), text.data() + std::min(x, text.size()), lanes);
  const bool split = x != std::string::npos && first.ptr == text.data() + x && lanes > 0;
  const auto second = split ? std::from_chars(text.data() + x + 1, end, value) : first;
  if (split && second.ptr == end && second.ec == std::errc() && value > 0) return {lanes, value};
  fail(Exit::kUsage, "{} '{}' must be LANESxNUMBER, as 8x0.5.", option, text);
}

SimulatedLanes lanes_of(const SimulateArguments& arguments, Placement placement, int lanes) {
  SimulatedLanes of{.lanes = lanes, .colocate = placement == Placement::kColocate};
  for (const std::string& text : arguments.slow) {
    const auto [count, speed] = unlike_lanes(text, "--slow");
    of.unlike.push_back({.lanes = count, .speed = speed});
  }
  for (const std::string& text : arguments.late) {
    const auto [count, late_s] = unlike_lanes(text, "--late");
    of.unlike.push_back({.lanes = count, .late_s = late_s});
  }
  return of;
}

// Whatever is absent: each cell has a key of its own, and a calibration for each choice of samples.
void set_simulated_keys(Plan& plan) {
  for (Cell& cell : plan.cells) {
    cell.key = fmt::format("cell {}", cell.id);
    const Profile profile = profile_of(cell.spec, plan.fidelity);
    if (profile.calibration_samples == 0) continue;
    cell.calibration_key = fmt::format("calibration {} {} {} {}", cell.pair, cell.dataset,
                                       cell.calibration_from, cell.calibration_samples);
  }
}

std::string head_text(const Plan& plan, const Hardware& hardware, bool colocate,
                      const std::vector<std::string>& models,
                      const std::vector<std::string>& datasets) {
  int64_t answers = 0;
  for (const Cell& cell : plan.cells) answers += cell.samples;
  std::string text = fmt::format(
      "{}: {} pairs, {} cells, {} answers, simulated on {} ({}); {}\n", plan.config.run.name,
      plan.pairs.size(), plan.cells.size(), answers, hardware.name, hardware.source,
      colocate ? "a lane is one rank (colocate)" : "a lane is a rank for each end");
  if (!models.empty()) {
    text +=
        fmt::format("Shapes of {} models that are not there are typical.toml's.\n", models.size());
  }
  if (!datasets.empty()) {
    text += fmt::format("Lengths of data sets that are not there are typical.toml's: {}.\n",
                        join(datasets, ", "));
  }
  return text + "Answers count as long as they may be, prompts by their characters.\n\n";
}

std::string percent(Seconds part, Seconds all) { return fmt::format("{:.1f} %", 100 * part / all); }

std::string table_of(const std::vector<Simulation>& simulations) {
  std::vector<std::vector<std::string>> rows{{"lanes", "ranks", "hours", "busy", "answering",
                                              "calibrating", "first load", "later loads", "waiting",
                                              "tail", "ranks computing", "tasks"}};
  for (const Simulation& of : simulations) {
    const Seconds all_s = of.all_s();
    rows.push_back({std::to_string(of.lanes), std::to_string(of.ranks),
                    fmt::format("{:.3g}", of.took_s / 3600), percent(of.busy(), 1),
                    percent(of.answering_s, all_s), percent(of.calibrating_s, all_s),
                    percent(of.first_loads_s, all_s), percent(of.later_loads_s, all_s),
                    percent(of.waiting_s, all_s), percent(of.tail_s, all_s),
                    percent(of.ends_s, of.ranks * of.took_s), std::to_string(of.tasks)});
  }
  return text_table(rows);
}

std::string limit_of(const Simulation& of) {
  const std::pair<Seconds, const char*> parts[] = {{of.later_loads_s, "loading further pairs"},
                                                   {of.waiting_s, "waiting for calibrations"},
                                                   {of.tail_s, "the tail"}};
  return std::ranges::max(parts, {}, [](const auto& part) { return part.first; }).second;
}

std::string line_of(const Simulation& of) {
  return fmt::format(
      "{} lanes: {:.1f} % busy, {:.3g} hours, {:.3f} ms of the coordinator's core a sample; most "
      "of "
      "the rest is {}\n",
      of.lanes, 100 * of.busy(), of.took_s / 3600,
      1e3 * of.coordinator_s / static_cast<double>(of.answers), limit_of(of));
}

}  // namespace

void add_simulate_options(CLI::App& command, SimulateArguments& arguments) {
  command
      .add_option("--lanes", arguments.lanes,
                  "How many lanes, several with commas (default: 1 to 512)")
      ->delimiter(',')
      ->check(CLI::Range(1, 100'000));
  command
      .add_option("--hardware", arguments.hardware,
                  "A TOML file of a rank's rates, as launch/hardware/h100.toml")
      ->required();
  command.add_option("--slow", arguments.slow, "8x0.5: eight lanes at half the speed");
  command.add_option("--late", arguments.late, "8x600: eight lanes that begin 600 s late");
  command.footer(
      "Example: kvcomm simulate launch/sweeps/paper.toml --hardware launch/hardware/h100.toml "
      "--lanes 32,128");
}

Exit simulate_command(const SimulateArguments& arguments) {
  Config config =
      load_config(arguments.sweep.file, arguments.sweep.sets, arguments.sweep.overrides);
  if (arguments.sweep.show_config) {
    std::fputs(show_config(config).c_str(), stdout);
    return Exit::kOk;
  }
  const Hardware hardware = load_hardware(arguments.hardware);
  const ScratchFolder scratch(scratch_place(), "kvcomm-simulate");
  const std::vector<std::string> models = supply_models(config, scratch.path() / "models");
  Plan plan = make_plan(std::move(config), hardware.device, Absent::kNamed, Hashing::kKnown);
  const std::vector<std::string> datasets = supply_samples(plan);
  set_simulated_keys(plan);
  const bool colocate = plan.config.run.placement == Placement::kColocate;
  fit_batches(plan, hardware.memory_bytes, colocate);
  TokenCounter counter(plan, Counting::kEstimated);
  const Effort effort = effort_of(plan, hardware, counter);
  std::fputs(head_text(plan, hardware, colocate, models, datasets).c_str(), stdout);
  std::vector<int> counts = arguments.lanes;
  for (int lanes = 1; arguments.lanes.empty() && lanes <= 512; lanes *= 2) counts.push_back(lanes);
  std::vector<Simulation> simulations;
  spdlog::set_level(spdlog::level::warn);  // its progress is not the real one's
  for (const int lanes : counts) {
    const fs::path folder = scratch.path() / std::to_string(simulations.size());
    const SimulatedLanes of = lanes_of(arguments, plan.config.run.placement, lanes);
    simulations.push_back(simulate(plan, effort, of, folder));
    fs::remove_all(folder);
  }
  std::string text = table_of(simulations) + "\n";
  for (const Simulation& of : simulations) text += line_of(of);
  std::fputs(text.c_str(), stdout);
  return Exit::kOk;
}

}  // namespace kvcomm
