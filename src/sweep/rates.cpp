#include "sweep/rates.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "schedule/row_costs.h"
#include "sweep/provenance.h"

namespace kvcomm {

namespace {

// Processor and cores, of "host; processor; cores; memory; system".
std::string kind_of(const std::string& machine) {
  const auto behind = [&](size_t place) {
    return place == std::string::npos ? place : machine.find("; ", place);
  };
  const size_t host = behind(0);
  const size_t cores = behind(behind(host + 2) + 2);
  return cores == std::string::npos ? machine : machine.substr(host + 2, cores - host - 2);
}

bool ran_on(const RunJournal& run, const std::string& device_kind) {
  return std::ranges::any_of(
      run.ranks, [&](const RankRecord& rank) { return rank.device.starts_with(device_kind); });
}

}  // namespace

std::optional<Rates> stored_rates(const Plan& plan, const Journals& journals) {
  std::map<std::string, std::vector<SampleTokens>> told;  // by the keys of cells
  for (const Cell& cell : plan.cells) {
    if (!cell.key.empty()) told[cell.key];
  }
  const std::string kind = kind_of(machine_text());
  Seconds read_s = 0, generate_s = 0;
  size_t rows = 0;
  for (const RunJournal& run : journals.runs) {
    if (kind_of(run.run.machine) != kind || !ran_on(run, plan.device_kind)) continue;
    for (const SampleRow& row : run.samples) {
      const auto of_cell = told.find(row.key);
      // Rows of older programs do not tell all their tokens.
      const bool tells = !row.failed && !std::isnan(row.receiver_flops);
      if (!tells || of_cell == told.end()) continue;
      of_cell->second.push_back(tokens_of(row));
      read_s += row.sender_prefill_s + row.receiver_prefill_s;
      generate_s += row.sender_decode_s + row.decode_s;
      ++rows;
    }
  }
  CellWork work;
  for (const Cell& cell : plan.cells) {
    const auto of_cell = told.find(cell.key);
    if (of_cell != told.end()) work += cell_work(plan, cell, std::exchange(of_cell->second, {}));
  }
  if (read_s <= 0) return std::nullopt;
  const bool generated = generate_s > 0 && work.weights_bytes > 0;
  return Rates{
      .flops_per_s = work.read_flops / read_s,
      .bytes_per_s =
          generated ? work.weights_bytes / generate_s : std::numeric_limits<double>::infinity(),
      .source = fmt::format("as {} stored rows of this sweep were answered on {}", rows, kind)};
}

}  // namespace kvcomm
