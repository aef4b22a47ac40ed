#include "app/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"

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

std::vector<std::string> line(const std::string& method, double score, double error, uint64_t n,
                              uint64_t failed, double bytes_per_sample) {
  return {method,
          score_text(score),
          score_text(error),
          std::to_string(n),
          std::to_string(failed),
          bytes_text(bytes_per_sample)};
}

// "random(ratio=0.5, seed=3)" -> "random(ratio=0.5)"; labels without a seed stay.
std::string without_seed(const std::string& label) {
  const size_t at = label.find("seed=");
  if (at == std::string::npos) return label;
  const size_t end = label.find_first_of(",)", at);
  std::string kept = label.substr(0, at) + label.substr(label[end] == ',' ? end + 2 : end);
  if (const size_t comma = kept.find(", )"); comma != std::string::npos) kept.erase(comma, 2);
  if (kept.ends_with("()")) kept.resize(kept.size() - 2);
  return kept;
}

// The mean over seeds; its standard error is that of the seeds' scores.
std::vector<std::string> mean_line(const std::string& label,
                                   const std::vector<const CellResult*>& cells) {
  double sum = 0, squares = 0, bytes = 0;
  uint64_t n = 0, failed = 0;
  for (const CellResult* cell : cells) {
    sum += cell->mean.score;
    n += cell->n();
    failed += cell->n_failed;
    bytes += static_cast<double>(payload_of(*cell));
  }
  const double count = static_cast<double>(cells.size());
  const double mean = sum / count;
  for (const CellResult* cell : cells)
    squares += (cell->mean.score - mean) * (cell->mean.score - mean);
  const double error = std::sqrt(squares / (count - 1) / count);
  return line(fmt::format("{}, mean of {} seeds", label, cells.size()), mean, error, n, failed,
              bytes / static_cast<double>(std::max<uint64_t>(n, 1)));
}

}  // namespace

std::string results_table(const Results& results) {
  std::string text;
  std::vector<std::vector<std::string>> rows;
  std::map<std::string, std::vector<const CellResult*>> seeds;
  const std::vector<std::string> head{"method", "score",  "std err",
                                      "n",      "failed", "sent per sample"};
  for (size_t i = 0; i < results.cells.size(); ++i) {
    const CellResult& result = results.cells[i];
    if (rows.empty()) rows.push_back(head);
    rows.push_back(line(result.cell.method, result.mean.score, result.mean.standard_error,
                        result.n(), result.n_failed,
                        static_cast<double>(payload_of(result)) /
                            static_cast<double>(std::max<size_t>(result.n(), 1))));
    const std::string label = without_seed(result.cell.method);
    if (label != result.cell.method && result.n() > 0) seeds[label].push_back(&result);
    const bool last = i + 1 == results.cells.size() ||
                      results.cells[i + 1].cell.pair != result.cell.pair ||
                      results.cells[i + 1].cell.dataset != result.cell.dataset;
    if (!last) continue;
    for (const auto& [name, cells] : seeds) {
      if (cells.size() > 1) rows.push_back(mean_line(name, cells));
    }
    text += fmt::format("{}{} on {} ({}, {}, {} fidelity)\n{}", text.empty() ? "" : "\n",
                        result.cell.pair, result.cell.dataset, result.cell.metric,
                        result.cell.dtype, result.cell.fidelity, text_table(rows));
    rows.clear();
    seeds.clear();
  }
  return text;
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
