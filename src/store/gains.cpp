#include "store/gains.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "store/bootstrap.h"

namespace kvcomm {

namespace {

using Json = nlohmann::json;

// ---- which cells are compared

// The parts of a key that hold for all methods of a sweep: where one differs, two cells were not
// asked the same, or were not scored alike.
constexpr const char* kShared[] = {
    "answers_version", "receiver", "tokenizer",      "chat_template",    "dataset",
    "dtype",           "device",   "date",           "max_input_tokens", "metric",
    "normalisation",   "lemmas",   "max_new_tokens", "receiver_thinks",  "think_end"};

// A cell with what its partners are found by. Without a readable key it has none.
struct Candidate {
  const CellResult* result = nullptr;
  std::string control;
  int64_t control_seed = 0;
  std::string matched;  // pair, data set and key without the control
  std::string setting;  // pair, data set, fidelity and the key's shared parts
};

Json key_of(const CellRecord& cell) {
  Json key = Json::parse(cell.key_json, nullptr, /*allow_exceptions=*/false);
  const bool whole = key.is_object() && key.value("parameters", Json()).is_object();
  return whole ? key : Json();
}

std::string text_in(const Json& object, const char* name, const std::string& otherwise) {
  const Json value = object.value(name, Json());
  return value.is_string() ? value.get<std::string>() : otherwise;
}

Candidate candidate(const CellResult& result) {
  Candidate found{.result = &result};
  Json key = key_of(result.cell);
  if (key.is_null()) return found;
  Json& parameters = key["parameters"];
  found.control = text_in(parameters, "control", "");
  const Json seed = parameters.value("control_seed", Json());
  if (seed.is_number_integer()) found.control_seed = seed.get<int64_t>();
  parameters.erase("control");
  parameters.erase("control_seed");
  found.matched = Json{result.cell.pair, result.cell.dataset, key}.dump();
  Json shared;
  for (const char* name : kShared) shared[name] = key.value(name, Json());
  found.setting = Json{result.cell.pair, result.cell.dataset, result.cell.fidelity, shared}.dump();
  return found;
}

// Of one cell's scores to the other's, on the samples that both have. Rows are in their order.
std::vector<double> differences_of(const CellResult& one, const CellResult& other) {
  std::vector<double> differences;
  auto row = other.rows.begin();
  for (const SampleRow* own : one.rows) {
    while (row != other.rows.end() && (*row)->sample < own->sample) ++row;
    if (row == other.rows.end()) break;
    if ((*row)->sample == own->sample) differences.push_back(score_of(*own) - score_of(**row));
  }
  return differences;
}

struct Comparison {
  Gain gain;
  std::vector<double> differences;  // [n]
};

// `control`: the candidate whose control the gain tells.
Comparison compare(const char* kind, const Candidate& one, const Candidate& other,
                   const Candidate& control) {
  const CellRecord& cell = one.result->cell;
  Comparison comparison{.gain = {.pair = cell.pair,
                                 .dataset = cell.dataset,
                                 .method = cell.method,
                                 .variant = one.result->variant,
                                 .kind = kind,
                                 .control = control.control,
                                 .control_seed = control.control_seed},
                        .differences = differences_of(*one.result, *other.result)};
  comparison.gain.n = comparison.differences.size();
  comparison.gain.value = mean_score(comparison.differences).score;
  return comparison;
}

// P proper comes before what the other controls give.
bool is_deranged(const Candidate* control) { return control->control == "deranged"; }

std::vector<Comparison> comparisons_of(const Results& results) {
  std::vector<Candidate> all;
  for (const CellResult& result : results.cells) all.push_back(candidate(result));
  std::map<std::string, const Candidate*> alone;                  // by setting
  std::map<std::string, std::vector<const Candidate*>> controls;  // by the matched run
  for (const Candidate& cell : all) {
    if (cell.result->cell.receiver_alone) alone.emplace(cell.setting, &cell);
    if (!cell.control.empty()) controls[cell.matched].push_back(&cell);
  }
  std::vector<Comparison> comparisons;
  for (const Candidate& cell : all) {
    const auto receiver = alone.find(cell.setting);
    if (receiver != alone.end() && !cell.result->cell.receiver_alone) {
      comparisons.push_back(compare("G", cell, *receiver->second, cell));
    }
    if (!cell.control.empty() || !controls.contains(cell.matched)) continue;
    std::vector<const Candidate*>& of_cell = controls.at(cell.matched);
    std::ranges::stable_partition(of_cell, is_deranged);
    for (const Candidate* control : of_cell) {
      comparisons.push_back(compare("P", cell, *control, *control));
    }
  }
  std::erase_if(comparisons, [](const Comparison& one) { return one.gain.n == 0; });
  return comparisons;
}

// Gains over equally many samples share their draws.
void add_intervals(std::span<Comparison* const> group) {
  std::vector<std::span<const double>> differences;
  for (const Comparison* comparison : group) differences.emplace_back(comparison->differences);
  const std::vector<Interval> intervals = bootstrap(differences);
  for (size_t i = 0; i < group.size(); ++i) {
    group[i]->gain.low = intervals[i].low;
    group[i]->gain.high = intervals[i].high;
  }
}

}  // namespace

std::string control_name(const CellRecord& cell) {
  const Json key = key_of(cell);
  return key.is_null() ? "" : text_in(key.at("parameters"), "control", "");
}

std::vector<Gain> gains(const Results& results) {
  std::vector<Comparison> comparisons = comparisons_of(results);
  std::map<size_t, std::vector<Comparison*>> groups;  // by n
  for (Comparison& comparison : comparisons) {
    if (comparison.gain.n > 1) groups[comparison.gain.n].push_back(&comparison);
  }
  for (const auto& [n, group] : groups) add_intervals(group);
  std::vector<Gain> found;
  for (Comparison& comparison : comparisons) found.push_back(std::move(comparison.gain));
  return found;
}

}  // namespace kvcomm
