#include "app/status.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/tables.h"
#include "base/text.h"
#include "sweep/status.h"

namespace kvcomm {

namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

// "45 s", "12 min", "3 h 20 min", "2 d 4 h"
std::string duration_text(Seconds seconds) {
  const auto minutes = static_cast<int64_t>(seconds / 60 + 0.5);
  if (seconds < 99.5) return fmt::format("{:.0f} s", seconds);
  if (minutes < 100) return fmt::format("{} min", minutes);
  if (minutes < 48 * 60) return fmt::format("{} h {} min", minutes / 60, minutes % 60);
  return fmt::format("{} d {} h", minutes / (24 * 60), minutes / 60 % 24);
}

std::string rate_text(double rate) {
  return rate < 1 ? fmt::format("{:.3g} answers a minute", 60 * rate)
                  : fmt::format("{:.3g} answers a second", rate);
}

std::optional<Seconds> left_s(const Status& status) {
  const uint64_t left = sum_of(status.cells).left;
  if (!status.rate || left == 0) return std::nullopt;
  return static_cast<double>(left) / *status.rate;
}

// "answering: 1200 of 4360 answers are there, 2 samples failed, 3158 are left"
std::string head_text(const Status& status) {
  const CellStatus sum = sum_of(status.cells);
  std::string text = std::string(name(status.stage));
  if (!status.cells.empty()) {
    text += fmt::format(": {} of {} answers are there, {} failed, {} are left", sum.done,
                        sum.wanted, sum.failed, sum.left);
  }
  text += "\n";
  if (status.rate) {
    text += fmt::format("{} {}", rate_text(*status.rate),
                        status.over_s ? "over the last " + duration_text(*status.over_s)
                                      : "since the runs that live began");
    if (const auto seconds = left_s(status)) {
      text += fmt::format(": about {} left", duration_text(*seconds));
    }
    text += "\n";
  } else if (status.over_s) {
    text += fmt::format("no answer came over the last {}\n", duration_text(*status.over_s));
  }
  return text;
}

// Cells of one pair and data set, which stand together.
std::vector<std::vector<CellStatus>> blocks_of(const Status& status) {
  std::vector<std::vector<CellStatus>> blocks;
  for (const CellStatus& cell : status.cells) {
    const bool same = !blocks.empty() && blocks.back().front().pair == cell.pair &&
                      blocks.back().front().dataset == cell.dataset;
    if (!same) blocks.emplace_back();
    blocks.back().push_back(cell);
  }
  return blocks;
}

std::vector<std::string> counts_of(const CellStatus& cell) {
  return {std::to_string(cell.wanted), std::to_string(cell.done), std::to_string(cell.failed),
          std::to_string(cell.left), cell.uncalibrated && cell.left > 0 ? "missing" : ""};
}

std::string table_text(const Status& status, bool cells) {
  const std::vector<std::string> counts{"answers", "done", "failed", "left", "calibration"};
  Rows rows{{"pair", "data set"}};
  if (cells) rows[0].emplace_back("method");
  const size_t to_the_left = rows[0].size();
  rows[0].insert(rows[0].end(), counts.begin(), counts.end());
  const auto add = [&](const CellStatus& of, const CellStatus& counted) {
    std::vector<std::string>& row = rows.emplace_back(Rows::value_type{of.pair, of.dataset});
    if (cells) row.push_back(of.method);
    const std::vector<std::string> numbers = counts_of(counted);
    row.insert(row.end(), numbers.begin(), numbers.end());
  };
  for (const std::vector<CellStatus>& block : blocks_of(status)) {
    if (!cells) add(block.front(), sum_of(block));
    for (size_t i = 0; cells && i < block.size(); ++i) add(block[i], block[i]);
  }
  return "\n" + text_table(rows, to_the_left);
}

std::string runs_text(const Status& status) {
  std::string text;
  if (!status.runs.empty()) {
    Rows rows{{"run", "owner", "pairs", "state", "last sign", "rows"}};
    for (const RunStatus& run : status.runs) {
      rows.push_back({run.run_id.empty() ? "(no journal yet)" : run.run_id, run.owner,
                      join(run.pairs, ", "), std::string(name(run.life)),
                      fmt::format("{} ago", duration_text(run.untouched_s)),
                      std::to_string(run.rows)});
    }
    text += "\n" + text_table(rows, 4);
  }
  if (status.ended > 0) {
    text += fmt::format("\n{} run{} ended.\n", status.ended, status.ended == 1 ? " has" : "s have");
  }
  return text;
}

std::string status_text(const Status& status, bool cells) {
  std::string text = head_text(status);
  if (!status.cells.empty()) text += table_text(status, cells);
  text += runs_text(status);
  for (const std::string& fault : status.faults) text += "\n" + fault;
  return text + (status.faults.empty() ? "" : "\n");
}

Json counts_json(const CellStatus& cell) {
  return {{"answers", cell.wanted},
          {"done", cell.done},
          {"failed", cell.failed},
          {"left", cell.left},
          {"calibration_missing", cell.uncalibrated}};
}

template <typename Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json();
}

Json status_json(const Status& status) {
  Json json{{"stage", name(status.stage)}};
  json.update(counts_json(sum_of(status.cells)));
  json["answers_per_s"] = or_null(status.rate);
  json["over_s"] = or_null(status.over_s);
  json["left_s"] = or_null(left_s(status));
  json["pairs"] = json["cells"] = json["runs"] = Json::array();
  for (const std::vector<CellStatus>& block : blocks_of(status)) {
    Json pair{{"pair", block.front().pair}, {"dataset", block.front().dataset}};
    pair.update(counts_json(sum_of(block)));
    json["pairs"].push_back(std::move(pair));
  }
  for (const CellStatus& cell : status.cells) {
    Json of{{"pair", cell.pair}, {"dataset", cell.dataset}, {"method", cell.method}};
    of.update(counts_json(cell));
    json["cells"].push_back(std::move(of));
  }
  for (const RunStatus& run : status.runs) {
    json["runs"].push_back({{"run_id", run.run_id},
                            {"owner", run.owner},
                            {"pairs", run.pairs},
                            {"state", name(run.life)},
                            {"untouched_s", run.untouched_s},
                            {"rows", run.rows}});
  }
  json["ended_runs"] = status.ended;
  json["faults"] = status.faults;
  return json;
}

}  // namespace

void add_status_options(CLI::App& command, StatusArguments& arguments) {
  command.add_option("output", arguments.output, "The folder that sweeps write to")->required();
  command
      .add_option("--over", arguments.over_s,
                  "Look twice, so many seconds apart: the rate is of that time (default: since the "
                  "runs began)")
      ->check(CLI::Range(0.1, 86400.0));
  command.add_flag("--cells", arguments.cells, "A line for each cell, not for each data set");
  command.add_flag("--json", arguments.json, "All of it as JSON");
  command.footer("Example: kvcomm status results/sweep --over 60");
}

Exit status_command(const StatusArguments& arguments) {
  const std::filesystem::path given = arguments.output;
  std::error_code error;
  const std::filesystem::path output = std::filesystem::is_regular_file(given, error)
                                           ? std::filesystem::absolute(given).parent_path()
                                           : given;
  const Status status =
      arguments.over_s ? status_over(output, *arguments.over_s) : status_of(output);
  const std::string text =
      arguments.json
          ? status_json(status).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"
          : status_text(status, arguments.cells);
  std::fputs(text.c_str(), stdout);
  return Exit::kOk;
}

}  // namespace kvcomm
