#include "sweep/config_values.h"

#include <algorithm>
#include <map>

#include "base/text.h"

namespace kvcomm {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

// The choice that a user of other programs means: no matter of spelling.
std::string choice_meant(const std::string& word, const std::vector<std::string>& choices) {
  static const std::map<std::string, std::string> meant{
      {"gpu", "cuda"},      {"bf16", "bfloat16"},    {"fp32", "float32"},   {"f32", "float32"},
      {"float", "float32"}, {"official", "release"}, {"authors", "release"}};
  const auto found = meant.find(word);
  if (found != meant.end() && std::ranges::count(choices, found->second) > 0) {
    return fmt::format(" Did you mean '{}'?", found->second);
  }
  return did_you_mean(word, choices);
}

}  // namespace

std::optional<json> read_value(const GivenTable& table, const Parameter& parameter,
                               Problems& problems) {
  const auto found = table.values.find(parameter.name);
  if (found == table.values.end()) return std::nullopt;
  const auto& [given, place] = found->second;
  ParameterValue read = parameter_value(parameter, given);
  if (read.wanted.empty()) return std::move(read.value);
  problems.add("{}: {} in {} is {}; {} is needed.{}", place, parameter.name, table.title,
               describe(given), read.wanted,
               given.is_string() ? choice_meant(given.get<std::string>(), parameter.choices) : "");
  return std::nullopt;
}

void report_unknown_keys(const GivenTable& table, const std::vector<std::string>& known,
                         Problems& problems) {
  for (const auto& [key, given] : table.values) {
    if (std::ranges::count(known, key) > 0) continue;
    problems.add("{}: {} has no key '{}'.{}", given.place, table.title, key,
                 suggestion(key, known, "Its keys are"));
  }
}

std::vector<GivenTable> expand_arrays(std::vector<GivenTable> methods) {
  std::vector<GivenTable> expanded;
  for (GivenTable& method : methods) {
    const MethodKind* kind = find_method_kind(method.text("name"));
    std::vector<GivenTable> cells{std::move(method)};
    for (size_t i = 0; kind != nullptr && i < kind->parameters.size(); ++i) {
      const Parameter& parameter = kind->parameters[i];
      const auto found = cells[0].values.find(parameter.name);
      if (found == cells[0].values.end()) continue;
      const json values = found->second.value;
      if (!values.is_array() || values.empty()) continue;
      if (parameter.type == ParameterType::kLayers && !values[0].is_array()) continue;
      std::vector<GivenTable> product;
      for (const GivenTable& cell : cells) {
        for (const json& value : values) {
          product.push_back(cell);
          product.back().values[parameter.name].value = value;
        }
      }
      cells = std::move(product);
    }
    std::ranges::move(cells, std::back_inserter(expanded));
  }
  return expanded;
}

std::optional<MethodSpec> read_method(const GivenTable& given, const Defaults& defaults,
                                      Problems& problems) {
  std::vector<std::string> names;
  for (const MethodKind& kind : method_kinds()) names.push_back(kind.name);
  const size_t problems_before = problems.size();
  const auto name = read_value(given, {.name = "name", .type = ParameterType::kText}, problems);
  if (problems.size() > problems_before) return std::nullopt;
  if (!name) {
    problems.add("{}: {} has no name; give one of {}.", given.place, given.title,
                 join(names, ", "));
    return std::nullopt;
  }
  const MethodKind* kind = find_method_kind(name->get<std::string>());
  if (kind == nullptr) {
    problems.add("{}: there is no method '{}'.{}", given.values.at("name").place,
                 name->get<std::string>(),
                 suggestion(name->get<std::string>(), names, "The methods are"));
    return std::nullopt;
  }
  GivenTable table = given;
  table.title += " " + kind->name;
  std::vector<std::string> known{"name", "limit"};
  ordered_json set = ordered_json::object();
  for (const Parameter& parameter : kind->parameters) {
    if (const auto value = read_value(table, parameter, problems)) set[parameter.name] = *value;
    known.push_back(parameter.name);
  }
  const auto limit = read_value(
      table, {.name = "limit", .type = ParameterType::kInteger, .range = kZeroOrMore}, problems);
  report_unknown_keys(table, known, problems);
  if (problems.size() > problems_before) return std::nullopt;
  if (const std::string complaint = parameters_complaint(*kind, set); !complaint.empty()) {
    problems.add("{}: {}", given.place, complaint);
    return std::nullopt;
  }
  MethodSpec spec = make_method_spec(*kind, set, defaults.seed, defaults.fidelity);
  if (limit) spec.limit = limit->get<int64_t>();
  return spec;
}

}  // namespace kvcomm
