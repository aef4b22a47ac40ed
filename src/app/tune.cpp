#include "app/tune.h"

#include <fmt/format.h>

#include <cstdio>

#include "app/commands.h"
#include "app/tables.h"
#include "config/config.h"
#include "sweep/sweep.h"

namespace kvcomm {

namespace {

// "0.433", "+0.031", "[-0.010, 0.072]", "no gain": the interval holds 0.
std::vector<std::string> gain_cells(const Rival& rival) {
  const Interval& interval = rival.interval;
  const char* verdict = interval.low > 0 ? "gain" : interval.high < 0 ? "loss" : "no gain";
  return {fmt::format("{:.3f}", rival.score), fmt::format("{:+.3f}", rival.gain),
          fmt::format("[{:.3f}, {:.3f}]", interval.low, interval.high), verdict};
}

std::string tuned_text(const Tuned& choice) {
  const std::string smallest =
      choice.is_smallest
          ? ", the fewest layers within a standard error of the best on the choosing samples"
          : "";
  std::vector<std::vector<std::string>> rows{
      {"", "score", "chosen over it", "95 % interval", "verdict"}};
  rows.push_back({"chosen: " + choice.chosen, fmt::format("{:.3f}", choice.score), "-", "-", "-"});
  const auto add = [&](const char* what, const Rival& rival) {
    rows.push_back({fmt::format("{}: {}", what, rival.method)});
    std::ranges::move(gain_cells(rival), std::back_inserter(rows.back()));
  };
  add("untuned", choice.untuned);
  add("random", choice.random);
  add("contiguous", choice.contiguous);
  const std::string failed =
      choice.failed == 0 ? "" : fmt::format("{} rows there failed, and count 0\n", choice.failed);
  return fmt::format(
      "{} on {}{}, {} layers{}\n{} settings, {} different choices of layers: chosen by {} samples "
      "({:.3f} there), scored on {} others\n{}{}",
      choice.pair, choice.dataset, in_brackets(choice.variant), choice.layers, smallest,
      choice.settings, choice.choices, choice.seen, choice.seen_score, choice.n, failed,
      text_table(rows));
}

}  // namespace

void add_tune_options(CLI::App& command, TuneArguments& arguments) {
  command
      .add_option("sweep", arguments.sweep,
                  "A sweep that was run, by its folder or its TOML file: with several alpha, mu or "
                  "sigma for each ratio, and with random and contiguous layers of as many")
      ->required();
  command
      .add_option("--choose-by", arguments.options.choose_by,
                  "The first so many samples choose, the others score (default: half of them)")
      ->check(CLI::Range(1, 1'000'000));
  command.footer("Example: kvcomm run launch/sweeps/tuning.toml && kvcomm tune results/tuning");
}

Exit tune_command(const TuneArguments& arguments) {
  const bool by_toml = std::filesystem::path(arguments.sweep).extension() == ".toml";
  const std::string sweep =
      by_toml ? load_config(arguments.sweep, {}).run.output.string() : arguments.sweep;
  Journals journals = read_journals(swept_folder(sweep));
  log_faults(journals);
  const Results results(std::move(journals));
  std::string text;
  for (const Tuned& choice : tune(results, arguments.options)) {
    text += (text.empty() ? "" : "\n") + tuned_text(choice);
  }
  std::fputs(text.c_str(), stdout);
  return Exit::kOk;
}

}  // namespace kvcomm
