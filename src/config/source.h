// What the user wrote, as JSON values with their places, before config.cpp gives it meaning: the
// TOML file and the --set arguments, merged.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace kvcomm {

// Gathers all that is wrong, so that one run of the program shows it all.
class Problems {
 public:
  template <typename... Args>
  void add(fmt::format_string<Args...> text, Args&&... args) {
    sentences_.push_back(fmt::format(text, std::forward<Args>(args)...));
  }
  size_t size() const { return sentences_.size(); }
  // Fails (kUsage) with every sentence, if there is one.
  void raise() const;

 private:
  std::vector<std::string> sentences_;
};

struct Given {
  nlohmann::json value;
  std::string place;  // "sweep.toml:3:1", "--set run.limit", "--limit"
};

// One table; its title is what messages call it: "[run]", "[[pair]]", "[[method]] kvcomm".
struct GivenTable {
  std::string title;
  std::string place;  // of its header; the file's name where it has none
  std::map<std::string, Given> values;

  // The text under that key; "" where there is none or it is no text.
  std::string text(const std::string& key) const;
};

struct GivenConfig {
  GivenTable run, paths, fidelity;
  std::vector<GivenTable> pairs, datasets, methods;

  GivenTable& single(const std::string& section);                 // run, paths, fidelity
  std::vector<GivenTable>& repeated(const std::string& section);  // pair, dataset, method
};

// Fails (kUsage) where the file cannot be read or is no TOML; reports names of tables that are
// none.
GivenConfig read_toml(const std::filesystem::path& toml_file, Problems& problems);

// The same of a file's content; `file` is what messages call it.
GivenConfig parse_toml(const std::string& content, const std::string& file, Problems& problems);

// "run.limit=5", "pair.NAME.alpha=0.8", "method.kvcomm(ratio=0.5).alpha=0.8" taken apart.
struct Assignment {
  std::string section;  // "run", "paths", "fidelity", "pair", "dataset", "method"
  std::string name;     // of an array's table; empty for the others
  std::string key;
  Given given;
};

// The --set arguments; those that cannot be read are reported and left out.
std::vector<Assignment> parse_sets(std::span<const std::string> sets, Problems& problems);

// A value as messages show it: 'text', 1.0, [0, 3], a table.
std::string describe(const nlohmann::json& value);

// " Did you mean 'x'?", or where nothing is near " <intro> a, b, c."
std::string suggestion(const std::string& word, const std::vector<std::string>& known,
                       const std::string& intro);

}  // namespace kvcomm
