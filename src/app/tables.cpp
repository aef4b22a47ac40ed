#include "app/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "store/gains.h"
#include "store/variants.h"

namespace kvcomm {

std::string text_table(const std::vector<std::vector<std::string>>& rows, size_t to_the_left) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      line += i == 0 ? "" : "  ";
      line += i < to_the_left ? fmt::format("{:<{}}", rows[r][i], widths[i])
                              : fmt::format("{:>{}}", rows[r][i], widths[i]);
    }
    const size_t width = line.size();
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
    if (r == 0) text += std::string(width, '-') + "\n";
  }
  return text;
}

std::string in_brackets(const std::string& variant) {
  return variant.empty() ? "" : " [" + variant + "]";
}

std::string bytes_text(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:.2f} GB", bytes / 1e9);
  if (bytes >= 1e6) return fmt::format("{:.2f} MB", bytes / 1e6);
  if (bytes >= 1e3) return fmt::format("{:.1f} kB", bytes / 1e3);
  return fmt::format("{:.0f} B", bytes);
}

namespace {

uint64_t payload_of(const CellResult& result) {
  uint64_t bytes = 0;
  for (const SampleRow* row : result.rows) bytes += row->payload_bytes;
  return bytes;
}

std::string score_text(double score) {
  return std::isnan(score) ? "-" : fmt::format("{:.3f}", score);
}

using Line = std::vector<std::string>;

Line line(const std::string& method, double score, double error, const std::string& n,
          uint64_t failed, double bytes_per_sample) {
  return {method, score_text(score),      score_text(error),
          n,      std::to_string(failed), bytes_text(bytes_per_sample)};
}

// "60", or "12 of 60" where the newest run wanted more.
std::string count_text(const CellResult& result) {
  const std::string n = std::to_string(result.n());
  return result.n() < result.cell.n_planned ? fmt::format("{} of {}", n, result.cell.n_planned) : n;
}

// What the rows of a table may share, which its head then says, or differ in.
struct Trait {
  const char* name;
  std::string CellRecord::*value;
  const char* unit;  // behind the value in a head
};
constexpr std::array kTraits{Trait{"metric", &CellRecord::metric, ""},
                             Trait{"dtype", &CellRecord::dtype, ""},
                             Trait{"fidelity", &CellRecord::fidelity, " fidelity"}};

// "random(ratio=0.5, seed=3)" -> "random(ratio=0.5)"; labels without a seed stay, as do those whose
// only one is a control_seed, which draws no layers.
std::string without_seed(const std::string& label) {
  const size_t at = label.find("seed=");
  if (at == std::string::npos || label.substr(0, at).ends_with('_')) return label;
  const size_t end = label.find_first_of(",)", at);
  std::string kept = label.substr(0, at) + label.substr(label[end] == ',' ? end + 2 : end);
  if (const size_t comma = kept.find(", )"); comma != std::string::npos) kept.erase(comma, 2);
  if (kept.ends_with("()")) kept.resize(kept.size() - 2);
  return kept;
}

// Equal for draws that may be averaged: they differ in nothing but the seed.
std::string draws_of(const CellResult& result) {
  return fmt::format("{} {} {} {} {}", without_seed(result.cell.method), result.variant, result.n(),
                     result.cell.fidelity, key_without_seed(result.cell.key_json));
}

// The mean over draws, each with as many samples. What is random is the layers: the standard error
// is that of the draws' scores.
Line mean_line(const std::vector<const CellResult*>& draws) {
  std::vector<double> scores;
  double bytes = 0;
  uint64_t failed = 0;
  for (const CellResult* draw : draws) {
    scores.push_back(draw->mean.score);
    failed += draw->n_failed;
    bytes += static_cast<double>(payload_of(*draw));
  }
  const CellResult& first = *draws.front();
  const MeanScore mean = mean_score(scores);
  return line(
      fmt::format("{}{}, mean of {} draws, std err over them", without_seed(first.cell.method),
                  in_brackets(first.variant), draws.size()),
      mean.score, mean.standard_error, std::to_string(first.n()), failed,
      bytes / static_cast<double>(first.n() * draws.size()));
}

// The cells of one pair and data set, one line each, with a head above them.
std::string block_text(std::span<const CellResult> cells) {
  std::vector<std::string> shared;
  std::vector<const Trait*> differing;
  for (const Trait& trait : kTraits) {
    const std::string& value = cells.front().cell.*trait.value;
    const bool equal = std::ranges::all_of(
        cells, [&](const CellResult& result) { return result.cell.*trait.value == value; });
    if (equal) {
      shared.push_back(value + trait.unit);
    } else {
      differing.push_back(&trait);
    }
  }
  std::vector<Line> rows{{"method", "score", "std err", "n", "failed", "sent per sample"}};
  const auto add = [&](const Line& line, const CellRecord& cell) {
    rows.push_back(line);
    for (size_t i = 0; i < differing.size(); ++i) {  // behind the method's name
      rows.back().insert(rows.back().begin() + 1 + static_cast<std::ptrdiff_t>(i),
                         cell.*differing[i]->value);
    }
  };
  for (size_t i = 0; i < differing.size(); ++i) {
    rows[0].insert(rows[0].begin() + 1 + static_cast<std::ptrdiff_t>(i), differing[i]->name);
  }
  std::map<std::string, std::vector<const CellResult*>> seeds;  // by draws_of
  for (const CellResult& result : cells) {
    const double n = static_cast<double>(std::max<size_t>(result.n(), 1));
    add(line(result.cell.method + in_brackets(result.variant), result.mean.score,
             result.mean.standard_error, count_text(result), result.n_failed,
             static_cast<double>(payload_of(result)) / n),
        result.cell);
    const bool drawn = without_seed(result.cell.method) != result.cell.method;
    if (drawn && result.n() > 0) seeds[draws_of(result)].push_back(&result);
  }
  for (const auto& [name, draws] : seeds) {
    if (draws.size() > 1) add(mean_line(draws), draws.front()->cell);
  }
  const std::string traits = shared.empty() ? "" : fmt::format(" ({})", join(shared, ", "));
  return fmt::format("{} on {}{}\n{}", cells.front().cell.pair, cells.front().cell.dataset, traits,
                     text_table(rows, 1 + differing.size()));
}

}  // namespace

std::string results_table(const Results& results) {
  std::string text;
  const std::span<const CellResult> cells(results.cells);
  for (size_t from = 0; from < cells.size();) {
    size_t to = from + 1;
    while (to < cells.size() && cells[to].cell.pair == cells[from].cell.pair &&
           cells[to].cell.dataset == cells[from].cell.dataset) {
      ++to;
    }
    text += (text.empty() ? "" : "\n") + block_text(cells.subspan(from, to - from));
    from = to;
  }
  return text;
}

namespace {

constexpr const char* kGainsHead =
    "Gains, with 95 % intervals of a paired bootstrap\nG: score minus that of the receiver alone "
    "(baseline)\nP: score minus that with another sample's message (control=deranged), or under "
    "the control that a line names\n";

std::string gain_text(double value) {
  const std::string text = score_text(value);
  return text == "-0.000" ? "0.000" : text;
}

std::string interval_text(const Gain& gain) {
  if (std::isnan(gain.low)) return "-";
  return fmt::format("[{}, {}]", gain_text(gain.low), gain_text(gain.high));
}

std::string against_text(const Gain& gain) {
  const std::string seed =
      gain.control_seed == 0 ? "" : fmt::format(", control_seed={}", gain.control_seed);
  return fmt::format(" against {}{}", gain.control, seed);
}

// The gains of one cell. P proper stands in G's line where both are over as many samples.
void add_gains(std::span<const Gain> gains, std::vector<Line>& lines) {
  const std::string cell = gains.front().method + in_brackets(gains.front().variant);
  bool beside = false;  // a line with a G waits for its P
  for (const Gain& gain : gains) {
    const std::string value = gain_text(gain.value), interval = interval_text(gain);
    const std::string n = std::to_string(gain.n);
    if (gain.kind == "G") {
      lines.push_back({cell, value, interval, "-", "-", n});
    } else if (beside && gain.control == "deranged" && n == lines.back().back()) {
      lines.back()[3] = value;
      lines.back()[4] = interval;
    } else {
      lines.push_back({cell + against_text(gain), "-", "-", value, interval, n});
    }
    beside = gain.kind == "G";
  }
}

using GainMembers = std::initializer_list<std::string Gain::*>;

// The first gains, as far as they agree in these members.
std::span<const Gain> first_part(std::span<const Gain> gains, GainMembers members) {
  size_t size = 1;
  const auto same = [&](std::string Gain::*member) {
    return gains[size].*member == gains.front().*member;
  };
  while (size < gains.size() && std::ranges::all_of(members, same)) ++size;
  return gains.first(size);
}

// The gains of one pair and data set, with a head above them.
std::string gains_block(std::span<const Gain> gains) {
  const std::string head = fmt::format("\n{} on {}\n", gains.front().pair, gains.front().dataset);
  std::vector<Line> lines{{"method", "G", "95 % interval", "P", "95 % interval", "n"}};
  while (!gains.empty()) {
    const auto cell = first_part(gains, {&Gain::method, &Gain::variant});
    add_gains(cell, lines);
    gains = gains.subspan(cell.size());
  }
  return head + text_table(lines);
}

}  // namespace

std::string gains_table(const Results& results) {
  const auto is_control = [](const CellResult& result) {
    return !control_name(result.cell).empty();
  };
  if (std::ranges::none_of(results.cells, is_control)) return "";
  const std::vector<Gain> all = gains(results);
  std::string text;
  for (std::span<const Gain> left(all); !left.empty();) {
    const auto block = first_part(left, {&Gain::pair, &Gain::dataset});
    text += gains_block(block);
    left = left.subspan(block.size());
  }
  return text.empty() ? "" : kGainsHead + text;
}

std::string rescored_table(const std::vector<RescoredCell>& cells) {
  std::vector<std::vector<std::string>> rows{
      {"pair", "data set", "method", "metric", "score", "std err", "n", "before"}};
  for (const RescoredCell& cell : cells) {
    rows.push_back({cell.pair, cell.dataset, cell.method, cell.metric, score_text(cell.score),
                    score_text(cell.standard_error), std::to_string(cell.n),
                    score_text(cell.before)});
  }
  return text_table(rows, 4);
}

}  // namespace kvcomm
