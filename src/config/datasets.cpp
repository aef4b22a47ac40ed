// [[dataset]]: those whose form the program knows, and data of one's own.
#include <algorithm>
#include <set>

#include "base/text.h"
#include "config/values.h"
#include "data/dataset.h"
#include "score/score.h"

namespace kvcomm {

namespace {

// The keys that say of one's own data what the program knows of the others.
constexpr const char* kOwnKeys[] = {"context", "question", "answers", "id", "prompts", "shuffle"};
// A mix is read from its parts' files.
constexpr const char* kNotOfMixes[] = {"path", "context", "question", "answers", "id", "prompts"};

std::string place_of(const GivenTable& table, const std::string& key) {
  const auto found = table.values.find(key);
  return found == table.values.end() ? table.place : found->second.place;
}

void check_metrics(const DatasetConfig& dataset, const GivenTable& table, Problems& problems) {
  std::set<std::string> seen;
  for (const std::string& metric : dataset.metric) {
    if (std::ranges::count(metric_names(), metric) == 0) {
      problems.add("{}: there is no metric '{}'.{}", place_of(table, "metric"), metric,
                   suggestion(metric, metric_names(), "The metrics are"));
    } else if (!seen.insert(metric).second) {
      problems.add("{}: the metric '{}' is there twice; leave one out.", place_of(table, "metric"),
                   metric);
    }
  }
}

void check_mix(const DatasetConfig& dataset, const GivenTable& table, Problems& problems) {
  for (const char* key : kNotOfMixes) {
    if (!table.values.contains(key)) continue;
    problems.add(
        "{}: {} in [[dataset]] '{}' has no meaning, since a mix is read from the files of its "
        "parts below paths.data; leave it out.",
        place_of(table, key), key, dataset.name);
  }
}

void check_known(const DatasetConfig& dataset, const GivenTable& table, Problems& problems) {
  if (!parts_of_mix(dataset.name).empty()) return check_mix(dataset, table, problems);
  for (const char* key : kOwnKeys) {
    if (!table.values.contains(key)) continue;
    problems.add(
        "{}: {} in [[dataset]] '{}' is for data of your own, and the form of '{}' is known; leave "
        "it out, or give your data another name.",
        place_of(table, key), key, dataset.name, dataset.name);
  }
}

// Prompts come from the table of the data set's own name before that of its kind.
void check_prompts(const DatasetConfig& dataset, const GivenTable& table, Problems& problems) {
  const bool is_kind = std::ranges::count(dataset_table(), dataset.name, &DatasetInfo::kind) > 0;
  if (!is_kind || dataset.prompts == dataset.name) return;
  problems.add(
      "{}: the prompts' table [{}] would take the place of prompts = \"{}\", since a data set's "
      "own name goes first; give the data set another name.",
      place_of(table, "name"), dataset.name, *dataset.prompts);
}

void complete_own(DatasetConfig& dataset, const GivenTable& table, Problems& problems) {
  const bool is_described =
      !dataset.path.empty() ||
      std::ranges::any_of(kOwnKeys, [&](const char* key) { return table.values.contains(key); });
  try {
    if (!is_described) dataset_info(dataset.name);
  } catch (const Error& unknown) {
    problems.add("{}: {} Data of your own need path, question and answers.",
                 place_of(table, "name"), unknown.what());
    return;
  }
  std::vector<std::string> missing;
  for (const auto& [key, value] : {std::pair("path", dataset.path.string()),
                                   {"question", dataset.question.value_or("")},
                                   {"answers", dataset.answers.value_or("")}}) {
    if (value.empty()) missing.emplace_back(key);
  }
  if (!missing.empty()) {
    std::vector<std::string> known;
    for (const DatasetInfo& info : dataset_table()) known.push_back(info.name);
    problems.add(
        "{}: [[dataset]] '{}' has no {}; data of your own need path, and in question and answers "
        "the names of the records' fields.{}",
        table.place, dataset.name, join(missing, ", no "), did_you_mean(dataset.name, known));
    return;
  }
  if (dataset.context.empty()) dataset.context = {"context"};
  if (dataset.metric.empty()) dataset.metric = {"f1"};
  dataset.prompts = dataset.prompts.value_or("qa");
  dataset.max_new_tokens = dataset.max_new_tokens.value_or(32);
  dataset.shuffle = dataset.shuffle.value_or(false);
  check_prompts(dataset, table, problems);
}

}  // namespace

std::vector<DatasetConfig> read_datasets(const std::vector<GivenTable>& tables,
                                         Problems& problems) {
  std::vector<DatasetConfig> datasets;
  std::vector<std::string> names;
  for (const GivenTable& table : tables) {
    const size_t problems_before = problems.size();
    auto dataset = read_table<DatasetConfig>(table, problems);
    if (problems.size() == problems_before) check_name(dataset.name, table, problems);
    if (problems.size() == problems_before) {
      check_metrics(dataset, table, problems);
      if (is_known_dataset(dataset.name)) {
        check_known(dataset, table, problems);
      } else {
        complete_own(dataset, table, problems);
      }
    }
    names.push_back(dataset.name);
    datasets.push_back(std::move(dataset));
  }
  check_unique(names, tables, "give each data set once", problems);
  return datasets;
}

}  // namespace kvcomm
