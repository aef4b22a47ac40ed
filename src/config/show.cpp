// The configuration written as TOML, with or without where each value comes from; of a written one
// the data sets read back.
#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "config/config.h"
#include "config/values.h"

namespace kvcomm {

using nlohmann::json;

namespace {

// TOML's basic strings are JSON's but for one character, which must be escaped.
std::string toml_value(const json& value) {
  if (value.is_number_float()) return shortest(value.get<double>());
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
  for (size_t at = 0; (at = text.find('\x7f', at)) != std::string::npos;) {
    text.replace(at, 1, "\\u007f");
  }
  return text;
}

class TomlWriter {
 public:
  TomlWriter(const Config& config, bool with_sources)
      : config_(config), with_sources_(with_sources) {}

  // prefix is the table's in Config::sources: "run.", "pair.0.".
  void start_table(const std::string& header, const std::string& prefix) {
    text_ += (text_.empty() ? "" : "\n") + header + "\n";
    prefix_ = prefix;
  }

  void value(const std::string& key, const json& value) {
    if (value.is_null()) return;
    const auto found = config_.sources.find(prefix_ + key);
    line(fmt::format("{} = {}", key, toml_value(value)),
         found == config_.sources.end() ? "default" : found->second);
  }

  // A default that would become part of the method's label if it were set.
  void default_value(const std::string& key, const json& value, const std::string& source) {
    if (!value.is_null()) line(fmt::format("# {} = {}", key, toml_value(value)), source);
  }

  template <typename Table>
  void table(const std::string& header, const std::string& prefix, const Table& table) {
    start_table(header, prefix);
    visit_keys(table, [&]<typename T>(const char* key, const T& member, const Range&) {
      value(key, ValueOf<T>::to(member));
    });
  }

  const std::string& text() const { return text_; }

 private:
  void line(const std::string& setting, std::string source) {
    std::ranges::replace(source, '\n', ' ');
    text_ += with_sources_ ? fmt::format("{:<40}  # {}\n", setting, source) : setting + "\n";
  }

  const Config& config_;
  bool with_sources_;
  std::string prefix_;
  std::string text_;
};

// Those that hold because run.fidelity says so stay comments: written out they would be settings.
void write_fidelity(TomlWriter& writer, const Config& config) {
  writer.start_table("[fidelity]", "fidelity.");
  const Fidelity fidelity = fidelity_of(config);
  visit_keys(fidelity, [&]<typename T>(const char* key, const T& member, const Range&) {
    if (config.fidelity.contains(key)) {
      writer.value(key, ValueOf<T>::to(member));
    } else {
      writer.default_value(key, ValueOf<T>::to(member), "run.fidelity");
    }
  });
}

// Where a parameter's value comes from that the method's table does not set.
std::string default_source(const Parameter& parameter, const Config& config) {
  if (!parameter.default_value.is_null()) return "default";
  if (parameter.name == "seed") return "run.seed";
  return config.fidelity.contains(parameter.name) ? "fidelity." + parameter.name : "run.fidelity";
}

void write_method(TomlWriter& writer, const Config& config, const std::string& prefix,
                  const MethodSpec& method) {
  writer.start_table("[[method]]", prefix);
  writer.value("name", method.name);
  for (const Parameter& parameter : type_of(method).parameters) {
    const json value = method.resolved.at(parameter.name);
    if (method.set.contains(parameter.name)) {
      writer.value(parameter.name, value);
    } else {
      writer.default_value(parameter.name, value, default_source(parameter, config));
    }
  }
  writer.value("limit", method.limit ? json(*method.limit) : json());
}

std::string write_config(const Config& config, bool with_sources) {
  TomlWriter writer(config, with_sources);
  writer.table("[run]", "run.", config.run);
  writer.table("[paths]", "paths.", config.paths);
  write_fidelity(writer, config);
  for (size_t i = 0; i < config.pairs.size(); ++i) {
    writer.table("[[pair]]", fmt::format("pair.{}.", i), config.pairs[i]);
  }
  for (size_t i = 0; i < config.datasets.size(); ++i) {
    writer.table("[[dataset]]", fmt::format("dataset.{}.", i), config.datasets[i]);
  }
  for (size_t i = 0; i < config.methods.size(); ++i) {
    write_method(writer, config, fmt::format("method.{}.", i), config.methods[i]);
  }
  return writer.text();
}

}  // namespace

std::string config_toml(const Config& config) { return write_config(config, false); }

Config read_data_sets(const std::string& config_toml) {
  Problems passed_over;  // what only a later version of the program knows
  const GivenConfig given = parse_toml(config_toml, "The stored configuration", passed_over);
  Config config;
  config.paths = read_table<PathsConfig>(given.paths, passed_over);
  config.datasets = read_datasets(given.datasets, passed_over);
  return config;
}

std::string show_config(const Config& config) { return write_config(config, true); }

}  // namespace kvcomm
