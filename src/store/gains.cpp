#include "store/gains.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <span>

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

double score_of(const SampleRow& row) { return row.failed ? 0.0 : row.score; }

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

// ---- the bootstrap

constexpr size_t kDraws = 10'000;
constexpr size_t kOutside = kDraws / 40;  // draws beyond each end of a 95 % interval
constexpr size_t kLanes = 8;              // draws that are summed at once, in registers
static_assert(kDraws % kLanes == 0);
constexpr uint64_t kSeed = 0;

// How often each sample is in each of kLanes draws.
using Counts = std::vector<std::array<double, kLanes>>;  // [n]

// A word of the generator gives two places: each half, taken as a fraction of 2^32, times n. The
// bias is below n / 2^32, and no distribution of the standard library, which are not the same
// everywhere, has a part in it.
void draw(std::mt19937_64& random, Counts& counts) {
  std::ranges::fill(counts, Counts::value_type{});
  const uint64_t n = counts.size();
  for (size_t lane = 0; lane < kLanes; ++lane) {
    for (uint64_t i = 0; i < n; i += 2) {
      const uint64_t word = random();
      ++counts[((word >> 32) * n) >> 32][lane];
      if (i + 1 < n) ++counts[((word & 0xffffffff) * n) >> 32][lane];
    }
  }
}

// The differences' sums over kLanes draws, appended.
void add_sums(const Counts& counts, std::span<const double> differences,
              std::vector<double>& sums) {
  double lanes[kLanes] = {};
  const double* count = counts.front().data();
  for (const double difference : differences) {
#pragma GCC unroll 8
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += difference * count[lane];
    count += kLanes;
  }
  sums.insert(sums.end(), lanes, lanes + kLanes);
}

double at_place(std::vector<double>& values, size_t place) {
  const auto found = values.begin() + static_cast<std::ptrdiff_t>(place);
  std::ranges::nth_element(values, found);
  return *found;
}

// Gains over equally many samples share their draws.
void add_intervals(size_t n, std::span<Comparison* const> group) {
  std::mt19937_64 random(kSeed);
  Counts counts(n);
  std::vector<std::vector<double>> sums(group.size());  // [group, kDraws]
  for (size_t drawn = 0; drawn < kDraws; drawn += kLanes) {
    draw(random, counts);
    for (size_t i = 0; i < group.size(); ++i) {
      add_sums(counts, group[i]->differences, sums[i]);
    }
  }
  for (size_t i = 0; i < group.size(); ++i) {
    group[i]->gain.low = at_place(sums[i], kOutside) / static_cast<double>(n);
    group[i]->gain.high = at_place(sums[i], kDraws - 1 - kOutside) / static_cast<double>(n);
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
  for (const auto& [n, group] : groups) add_intervals(n, group);
  std::vector<Gain> found;
  for (Comparison& comparison : comparisons) found.push_back(std::move(comparison.gain));
  return found;
}

}  // namespace kvcomm
