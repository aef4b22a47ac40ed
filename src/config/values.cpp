#include "config/values.h"

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

std::vector<std::string> read_texts(const GivenTable& table, const std::string& key,
                                    Problems& problems) {
  const auto found = table.values.find(key);
  if (found == table.values.end()) return {};
  const auto& [given, place] = found->second;
  const auto is_text = [](const json& value) {
    return value.is_string() && !strip(value.get_ref<const std::string&>()).empty();
  };
  const json values = given.is_array() ? given : json::array({given});
  if (!values.empty() && std::ranges::all_of(values, is_text)) return values;
  problems.add("{}: {} in {} is {}; a text or a list of texts is needed.", place, key, table.title,
               describe(given));
  return {};
}

void report_unknown_keys(const GivenTable& table, const std::vector<std::string>& known,
                         Problems& problems) {
  for (const auto& [key, given] : table.values) {
    if (std::ranges::count(known, key) > 0) continue;
    if (key == "batch_tokens" && std::ranges::count(known, "prefill_tokens") > 0) {
      problems.add(
          "{}: {} has no key 'batch_tokens' any more: 'prefill_tokens' is the most tokens in one "
          "pass over prompts, however many samples 'batch' takes.",
          given.place, table.title);
      continue;
    }
    problems.add("{}: {} has no key '{}'.{}", given.place, table.title, key,
                 suggestion(key, known, "Its keys are"));
  }
}

void check_name(const std::string& name, const GivenTable& table, Problems& problems) {
  const bool fits = !name.empty() && name[0] != '.' && std::ranges::none_of(name, [](char c) {
    return c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (fits) return;
  const auto found = table.values.find("name");
  problems.add(
      "{}: the name '{}' of {} cannot name a file; set 'name' to one that is not empty, "
      "does not begin with a dot and holds no '/'.",
      found == table.values.end() ? table.place : found->second.place, name, table.title);
}

void check_unique(const std::vector<std::string>& names, const std::vector<GivenTable>& tables,
                  const std::string& cure, Problems& problems) {
  for (size_t i = 0; i < names.size(); ++i) {
    const auto first = static_cast<size_t>(std::ranges::find(names, names[i]) - names.begin());
    if (first == i) continue;
    problems.add("{}: {} '{}' is there already, at {}; {}.", tables[i].place, tables[i].title,
                 names[i], tables[first].place, cure);
  }
}

std::vector<GivenTable> expand_arrays(std::vector<GivenTable> methods) {
  std::vector<GivenTable> expanded;
  for (GivenTable& method : methods) {
    const MethodType* type = find_method(method.text("name"));
    std::vector<GivenTable> cells{std::move(method)};
    for (size_t i = 0; type != nullptr && i < type->parameters.size(); ++i) {
      const Parameter& parameter = type->parameters[i];
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
  for (const MethodType& type : methods()) names.push_back(type.name);
  const size_t problems_before = problems.size();
  const auto name = read_value(given, {.name = "name", .type = ParameterType::kText}, problems);
  if (problems.size() > problems_before) return std::nullopt;
  if (!name) {
    problems.add("{}: {} has no name; give one of {}.", given.place, given.title,
                 join(names, ", "));
    return std::nullopt;
  }
  const MethodType* type = find_method(name->get<std::string>());
  if (type == nullptr) {
    problems.add("{}: there is no method '{}'.{}", given.values.at("name").place,
                 name->get<std::string>(),
                 suggestion(name->get<std::string>(), names, "The methods are"));
    return std::nullopt;
  }
  GivenTable table = given;
  table.title += " " + type->name;
  std::vector<std::string> known{"name", "limit"};
  ordered_json set = ordered_json::object();
  for (const Parameter& parameter : type->parameters) {
    if (const auto value = read_value(table, parameter, problems)) set[parameter.name] = *value;
    known.push_back(parameter.name);
  }
  for (const char* control : {"control", "control_seed"}) {
    if (!table.values.contains(control) || std::ranges::count(known, control) > 0) continue;
    known.emplace_back(control);
    problems.add("{}: {} has {}; leave it out: {}.", table.values.at(control).place, table.title,
                 control,
                 type->cost == nullptr ? "it sends nothing, so that there is nothing to control"
                                       : "it sends ids, which can but be another sample's");
  }
  const auto limit = read_value(
      table, {.name = "limit", .type = ParameterType::kInteger, .range = kZeroOrMore}, problems);
  report_unknown_keys(table, known, problems);
  if (problems.size() > problems_before) return std::nullopt;
  if (const std::string complaint = parameters_complaint(*type, set); !complaint.empty()) {
    problems.add("{}: {}", given.place, complaint);
    return std::nullopt;
  }
  MethodSpec spec = make_method_spec(*type, set, defaults.seed, defaults.fidelity);
  if (limit) spec.limit = limit->get<int64_t>();
  return spec;
}

}  // namespace kvcomm
