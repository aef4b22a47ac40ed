#include "config/source.h"

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/files.h"
#include "base/nesting.h"
#include "base/text.h"

namespace kvcomm {

using nlohmann::json;

namespace {

const std::vector<std::string> kTables{"run", "paths", "fidelity", "pair", "dataset", "method"};

bool is_array_table(const std::string& section) {
  return section == "pair" || section == "dataset" || section == "method";
}

std::string place_of(const toml::source_region& source) {
  const std::string path = source.path ? *source.path : "";
  return fmt::format("{}:{}:{}", path, source.begin.line, source.begin.column);
}

json to_json(const toml::node& node) {
  if (const auto* array = node.as_array()) {
    json values = json::array();
    for (const toml::node& element : *array) values.push_back(to_json(element));
    return values;
  }
  if (const auto* table = node.as_table()) {
    json values = json::object();
    for (const auto& [key, element] : *table) values[std::string(key.str())] = to_json(element);
    return values;
  }
  if (const auto value = node.value_exact<bool>()) return *value;
  if (const auto value = node.value_exact<int64_t>()) return *value;
  if (const auto value = node.value_exact<double>()) return *value;
  if (const auto value = node.value_exact<std::string>()) return *value;
  std::ostringstream text;  // dates and times are taken as their text: date = 2024-07-26
  if (const auto* date = node.as_date()) text << *date;
  if (const auto* time = node.as_time()) text << *time;
  if (const auto* date_time = node.as_date_time()) text << *date_time;
  return text.str();
}

GivenTable to_table(const toml::table& table, std::string title) {
  GivenTable given{.title = std::move(title), .place = place_of(table.source()), .values = {}};
  for (const auto& [key, node] : table) {
    given.values[std::string(key.str())] = {to_json(node), place_of(key.source())};
  }
  return given;
}

std::vector<GivenTable> to_tables(const toml::array& array, const std::string& section) {
  std::vector<GivenTable> tables;
  for (const toml::node& element : array) {
    tables.push_back(to_table(*element.as_table(), "[[" + section + "]]"));
  }
  return tables;
}

// The value of a --set: TOML, or else the bare text.
json set_value(const std::string& text) {
  if (text.find_first_of("\r\n") != std::string::npos) return text;
  if (first_long_key(text) < text.size()) return text;
  try {
    return to_json(*toml::parse("value = " + text).get("value"));
  } catch (const toml::parse_error&) {
    return text;
  }
}

// The first '=' that is not in a label's parentheses.
size_t find_equals(const std::string& text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '(') ++depth;
    if (text[i] == ')') --depth;
    if (text[i] == '=' && depth == 0) return i;
  }
  return std::string::npos;
}

}  // namespace

void Problems::raise() const {
  std::vector<std::string> distinct;  // the cells of an array can all have the same fault
  for (const std::string& sentence : sentences_) {
    if (std::ranges::count(distinct, sentence) == 0) distinct.push_back(sentence);
  }
  if (distinct.empty()) return;
  if (distinct.size() == 1) fail(Exit::kUsage, "{}", distinct[0]);
  fail(Exit::kUsage, "The configuration has {} errors:\n  {}", distinct.size(),
       join(distinct, "\n  "));
}

std::string GivenTable::text(const std::string& key) const {
  const auto found = values.find(key);
  return found != values.end() && found->second.value.is_string()
             ? found->second.value.get<std::string>()
             : "";
}

std::string describe(const json& value) {
  if (value.is_string()) return "'" + value.get<std::string>() + "'";
  if (value.is_object()) return "a table";
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const json& element : value) parts.push_back(describe(element));
    return "[" + join(parts, ", ") + "]";
  }
  const bool finite = !value.is_number_float() || std::isfinite(value.get<double>());
  return finite ? value.dump() : shortest(value.get<double>());
}

std::string suggestion(const std::string& word, const std::vector<std::string>& known,
                       const std::string& intro) {
  const std::string near = did_you_mean(word, known);
  return near.empty() ? fmt::format(" {} {}.", intro, join(known, ", ")) : near;
}

GivenTable& GivenConfig::single(const std::string& section) {
  return section == "run" ? run : section == "paths" ? paths : fidelity;
}

std::vector<GivenTable>& GivenConfig::repeated(const std::string& section) {
  return section == "pair" ? pairs : section == "dataset" ? datasets : methods;
}

GivenConfig read_toml(const std::filesystem::path& toml_file, Problems& problems) {
  return parse_toml(read_file(toml_file), toml_file.string(), problems);
}

GivenConfig parse_toml(const std::string& content, const std::string& file, Problems& problems) {
  require_short_keys(content, file);
  toml::table root;
  try {
    root = toml::parse(content, file);
  } catch (const toml::parse_error& error) {
    fail(Exit::kUsage, "{}: this is no TOML: {}.", place_of(error.source()), error.description());
  }
  GivenConfig given{.run = {"[run]", file, {}},
                    .paths = {"[paths]", file, {}},
                    .fidelity = {"[fidelity]", file, {}}};
  for (const auto& [key, node] : root) {
    const std::string name(key.str());
    const std::string place = place_of(key.source());
    if (std::ranges::count(kTables, name) == 0) {
      problems.add("{}: there is no table '{}'.{}", place, name,
                   suggestion(name, kTables, "The tables are"));
    } else if (!is_array_table(name) && node.is_table()) {
      given.single(name) = to_table(*node.as_table(), "[" + name + "]");
    } else if (is_array_table(name) && node.is_array() &&
               (node.as_array()->empty() || node.is_array_of_tables())) {
      given.repeated(name) = to_tables(*node.as_array(), name);
    } else {
      problems.add(
          "{}: '{}' must be written as {}.", place, name,
          is_array_table(name) ? "[[" + name + "]], once for each" : "the table [" + name + "]");
    }
  }
  return given;
}

std::vector<Assignment> parse_sets(std::span<const std::string> sets, Problems& problems) {
  std::vector<Assignment> assignments;
  for (const std::string& text : sets) {
    const size_t equals = find_equals(text);
    const std::string target = text.substr(0, equals);
    const size_t first = target.find('.'), last = target.rfind('.');
    if (equals == std::string::npos || first == std::string::npos) {
      problems.add(
          "--set {}: write it as run.key=value, paths.key=value, fidelity.key=value, "
          "pair.NAME.key=value, dataset.NAME.key=value or method.NAME.key=value.",
          text);
      continue;
    }
    const std::string section = target.substr(0, first);
    if (std::ranges::count(kTables, section) == 0) {
      problems.add("--set {}: there is no table '{}'.{}", target, section,
                   suggestion(section, kTables, "The tables are"));
    } else if (is_array_table(section) != (first < last)) {
      problems.add("--set {}: write it as {}.{}=value.", target, section,
                   is_array_table(section) ? "NAME.key" : "key");
    } else {
      const std::string name = first < last ? target.substr(first + 1, last - first - 1) : "";
      assignments.push_back({section,
                             name,
                             target.substr(last + 1),
                             {set_value(text.substr(equals + 1)), "--set " + target}});
    }
  }
  return assignments;
}

}  // namespace kvcomm
