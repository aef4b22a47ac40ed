#include "config/config.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/text.h"
#include "config/values.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

// "org/name" and "/folders/name/" -> "name".
std::string last_part(const std::string& model) {
  const fs::path path = fs::path(model).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::string pair_name(const GivenTable& pair) {
  if (const std::string name = pair.text("name"); !name.empty()) return name;
  Problems told_elsewhere;
  const PairConfig models{.senders = read_texts(pair, "sender", told_elsewhere),
                          .receiver = pair.text("receiver")};
  if (models.models().size() == 1) return last_part(models.receiver);
  std::vector<std::string> senders;
  for (const std::string& sender : models.senders) senders.push_back(last_part(sender));
  return join(senders, "+") + "--" + last_part(models.receiver);
}

std::string name_of(const GivenTable& table, const std::string& section) {
  return section == "pair" ? pair_name(table) : table.text("name");
}

Fidelity base_of(FidelityChoice choice) {
  return choice == FidelityChoice::kPaper ? Fidelity::paper() : Fidelity::release();
}

// Sets the key in each table of that name; false where there is none.
bool assign(std::vector<GivenTable>& tables, const Assignment& assignment) {
  bool found = false;
  for (GivenTable& table : tables) {
    if (name_of(table, assignment.section) != assignment.name) continue;
    table.values[assignment.key] = assignment.given;
    found = true;
  }
  return found;
}

std::vector<std::string> names_of_tables(const std::vector<GivenTable>& tables,
                                         const std::string& section) {
  std::vector<std::string> names;
  for (const GivenTable& table : tables) names.push_back(name_of(table, section));
  return names;
}

void report_no_such(const Assignment& assignment, const std::vector<std::string>& names,
                    Problems& problems) {
  problems.add("{}: there is no {} '{}'.{}", assignment.given.place, assignment.section,
               assignment.name, suggestion(assignment.name, names, "Of that sort there are"));
}

// Carries out the assignments; those to a method that is named by its label are left over.
std::vector<Assignment> apply_sets(GivenConfig& given, const std::vector<Assignment>& assignments,
                                   Problems& problems) {
  std::vector<Assignment> by_label;
  for (const Assignment& assignment : assignments) {
    const std::string& section = assignment.section;
    if (assignment.name.empty()) {
      given.single(section).values[assignment.key] = assignment.given;
    } else if (section == "method") {
      if (!assign(given.methods, assignment)) by_label.push_back(assignment);
    } else {
      auto& tables = given.repeated(section);
      if (!assign(tables, assignment)) {
        report_no_such(assignment, names_of_tables(tables, section), problems);
      }
    }
  }
  return by_label;
}

// One table for each method's cell, with the assignments to single cells carried out.
std::vector<GivenTable> expand_methods(const GivenConfig& given,
                                       const std::vector<Assignment>& by_label,
                                       const Defaults& defaults, Problems& problems) {
  std::vector<GivenTable> cells = expand_arrays(given.methods);
  for (const Assignment& assignment : by_label) {
    std::vector<std::string> labels = names_of_tables(given.methods, "method");
    bool found = false;
    for (GivenTable& cell : cells) {
      Problems reported_later;
      const auto spec = read_method(cell, defaults, reported_later);
      if (!spec) continue;
      if (std::ranges::count(labels, spec->label()) == 0) labels.push_back(spec->label());
      if (spec->label() != assignment.name) continue;
      cell.values[assignment.key] = assignment.given;
      found = true;
    }
    if (!found) report_no_such(assignment, labels, problems);
    cells = expand_arrays(std::move(cells));
  }
  return cells;
}

// "YYYY-MM-DD", a day of the calendar.
bool is_date(const std::string& text) {
  const auto number = [&](size_t from,
                          size_t count) {  // 0, which is no month or day, if it is none
    unsigned value = 0;
    const char* const end = text.data() + from + count;
    return std::from_chars(text.data() + from, end, value).ptr == end ? value : 0U;
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const std::chrono::year year(static_cast<int>(number(0, 4)));
  const auto day = year / std::chrono::month(number(5, 2)) / std::chrono::day(number(8, 2));
  return number(0, 4) > 0 && day.ok();
}

RunConfig read_run(const GivenTable& given, const fs::path& toml_file, Problems& problems) {
  auto run = read_table<RunConfig>(given, problems);
  if (run.name.empty()) run.name = toml_file.stem().string();
  check_name(run.name, given, problems);
  if (run.output.empty()) run.output = fs::path("results") / run.name;
  if (!is_date(run.date)) {
    problems.add("{}: date in [run] is '{}'; a day that exists, as \"2024-07-26\", is needed.",
                 given.values.at("date").place, run.date);
  }
  return run;
}

// The fields that the table sets, checked.
nlohmann::json read_fidelity(const GivenTable& given, FidelityChoice base, Problems& problems) {
  const Fidelity read = read_table(given, problems, base_of(base));
  const nlohmann::json values = values_of(read);
  nlohmann::json set = nlohmann::json::object();
  for (const auto& [key, value] : values.items()) {
    if (given.values.contains(key)) set[key] = value;
  }
  return set;
}

std::vector<PairConfig> read_pairs(const std::vector<GivenTable>& tables, Problems& problems) {
  std::vector<PairConfig> pairs;
  std::vector<std::string> names;
  for (const GivenTable& table : tables) {
    const size_t problems_before = problems.size();
    auto pair = read_table<PairConfig>(table, problems);
    if (problems.size() == problems_before && (pair.senders.empty() || pair.receiver.empty())) {
      problems.add("{}: [[pair]] has no {}; give a model's name below paths.models, or a path.",
                   table.place, pair.senders.empty() ? "sender" : "receiver");
    }
    if (pair.receiver_thinks && !pair.think_end.empty()) {
      problems.add(
          "{}: [[pair]] has both receiver_thinks, which ends a thought by the prompts' "
          "think_prefix, and think_end; leave one out.",
          table.place);
    }
    pair.name = pair_name(table);
    if (problems.size() == problems_before) check_name(pair.name, table, problems);
    names.push_back(pair.name);
    pairs.push_back(std::move(pair));
  }
  check_unique(names, tables, "give this pair another with name = \"...\"", problems);
  return pairs;
}

std::vector<MethodSpec> read_methods(const std::vector<GivenTable>& cells, const Defaults& defaults,
                                     Problems& problems) {
  std::vector<MethodSpec> methods;
  std::vector<GivenTable> tables;
  std::vector<std::string> labels;
  for (const GivenTable& cell : cells) {
    auto method = read_method(cell, defaults, problems);
    if (!method) continue;
    labels.push_back(method->label());
    tables.push_back(cell);
    methods.push_back(std::move(*method));
  }
  check_unique(labels, tables, "leave one out", problems);
  return methods;
}

// The place of the pair that --pair chooses, by its name or its number from 0.
size_t chosen_pair(const std::string& wanted, const std::vector<PairConfig>& pairs) {
  std::vector<std::string> names;
  for (const PairConfig& pair : pairs) names.push_back(pair.name);
  const auto named = std::ranges::find(names, wanted);
  if (named != names.end()) return static_cast<size_t>(named - names.begin());
  size_t index = 0;
  const char* const end = wanted.data() + wanted.size();
  const auto read = std::from_chars(wanted.data(), end, index);
  if (read.ec == std::errc() && read.ptr == end && index < pairs.size()) return index;
  fail(Exit::kUsage, "--pair {}: there is no such pair; numbers go from 0 to {}.{}", wanted,
       pairs.size() - 1, suggestion(wanted, names, "The names are"));
}

// The place of the data set that --dataset chooses by its name.
size_t chosen_dataset(const std::string& wanted, const std::vector<DatasetConfig>& datasets) {
  const auto named = std::ranges::find(datasets, wanted, &DatasetConfig::name);
  if (named != datasets.end()) return static_cast<size_t>(named - datasets.begin());
  std::vector<std::string> names;
  for (const DatasetConfig& dataset : datasets) names.push_back(dataset.name);
  fail(Exit::kUsage, "--dataset {}: there is no such data set.{}", wanted,
       suggestion(wanted, names, "The names are"));
}

void add_sources(Config& config, const std::string& prefix, const GivenTable& table) {
  for (const auto& [key, given] : table.values) config.sources[prefix + key] = given.place;
}

void add_sources(Config& config, const std::string& prefix, const std::vector<GivenTable>& tables) {
  for (size_t i = 0; i < tables.size(); ++i) {
    add_sources(config, fmt::format("{}.{}.", prefix, i), tables[i]);
  }
}

}  // namespace

Config load_config(const fs::path& toml_file, std::span<const std::string> sets,
                   const Overrides& overrides) {
  Problems problems;
  GivenConfig given = read_toml(toml_file, problems);
  for (const auto& [name, tables] : {std::pair("pair", &given.pairs),
                                     {"dataset", &given.datasets},
                                     {"method", &given.methods}}) {
    if (tables->empty()) {
      problems.add("{} has no [[{}]]; at least one is needed.", toml_file.string(), name);
    }
  }
  const auto by_label = apply_sets(given, parse_sets(sets, problems), problems);
  if (overrides.output) given.run.values["output"] = {*overrides.output, "--output"};
  if (overrides.limit) given.run.values["limit"] = {*overrides.limit, "--limit"};

  Config config;
  config.run = read_run(given.run, toml_file, problems);
  config.paths = read_table<PathsConfig>(given.paths, problems);
  config.fidelity = read_fidelity(given.fidelity, config.run.fidelity, problems);
  const Defaults defaults{.seed = config.run.seed, .fidelity = fidelity_of(config)};
  given.methods = expand_methods(given, by_label, defaults, problems);
  if (overrides.limit) {
    for (GivenTable& dataset : given.datasets) dataset.values.erase("limit");
    for (GivenTable& method : given.methods) method.values.erase("limit");
  }
  config.pairs = read_pairs(given.pairs, problems);
  config.datasets = read_datasets(given.datasets, problems);
  config.methods = read_methods(given.methods, defaults, problems);
  problems.raise();

  if (overrides.pair) {
    const size_t chosen = chosen_pair(*overrides.pair, config.pairs);
    config.pairs = {config.pairs[chosen]};
    given.pairs = {given.pairs[chosen]};
  }
  if (overrides.dataset) {
    const size_t chosen = chosen_dataset(*overrides.dataset, config.datasets);
    config.datasets = {config.datasets[chosen]};
    given.datasets = {given.datasets[chosen]};
  }
  add_sources(config, "run.", given.run);
  add_sources(config, "paths.", given.paths);
  add_sources(config, "fidelity.", given.fidelity);
  add_sources(config, "pair", given.pairs);
  add_sources(config, "dataset", given.datasets);
  add_sources(config, "method", given.methods);
  return config;
}

std::vector<std::string> PairConfig::models() const {
  std::vector<std::string> models = senders;
  models.push_back(receiver);
  std::vector<std::string> once;
  for (const std::string& model : models) {
    if (std::ranges::count(once, model) == 0) once.push_back(model);
  }
  return once;
}

size_t senders_of(const Config& config) { return config.pairs.front().senders.size(); }

Fidelity fidelity_of(const Config& config) {
  const Fidelity base = base_of(config.run.fidelity);
  Fidelity fidelity = base;
  visit_keys(fidelity, [&]<typename T>(const char* key, T& member, const Range&) {
    if (config.fidelity.contains(key)) member = ValueOf<T>::from(config.fidelity.at(key));
  });
  const nlohmann::json usual = values_of(base);
  std::vector<std::string> different;
  visit_keys(fidelity, [&]<typename T>(const char* key, const T& member, const Range&) {
    const nlohmann::json value = ValueOf<T>::to(member);
    if (value == usual.at(key)) return;
    different.push_back(
        fmt::format("{}={}", key, value.is_string() ? value.get<std::string>() : value.dump()));
  });
  if (!different.empty()) fidelity.name += "(" + join(different, ", ") + ")";
  return fidelity;
}

nlohmann::json values_of(const Fidelity& fidelity) {
  nlohmann::json values;
  visit_keys(fidelity, [&]<typename T>(const char* key, const T& member, const Range&) {
    values[key] = ValueOf<T>::to(member);
  });
  return values;
}

MethodSpec for_pair(const MethodSpec& method, const PairConfig& pair) {
  MethodSpec own = method;
  for (const auto& [name, value] :
       {std::pair("alpha", pair.alpha), {"mu", pair.mu}, {"sigma", pair.sigma}}) {
    if (value && own.resolved.contains(name)) own.resolved[name] = *value;
  }
  return own;
}

int64_t sample_limit(const Config& config, const DatasetConfig& dataset, const MethodSpec& method) {
  return method.limit.value_or(dataset.limit.value_or(config.run.limit));
}

}  // namespace kvcomm
