#include "sweep/rescore.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "plan/keys.h"
#include "plan/plan.h"
#include "store/h5.h"
#include "store/journal.h"
#include "store/results.h"
#include "store/results_file.h"
#include "sweep/provenance.h"
#include "sweep/sweep.h"

namespace kvcomm {

namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

// What is scored, and where it was read.
struct Stored {
  H5Content content;
  fs::path from;
};

// A folder's journals are what its results.h5 is made from, so that they are never behind it.
Stored read_stored(const fs::path& input) {
  std::error_code error;
  if (!fs::is_directory(input, error) || journal_files(input).empty()) {
    const fs::path file = results_path(input);
    return {read_results(file), file};
  }
  const Results results(read_journals(input));
  log_faults(results.journals);
  return {content_of(results), journal_folder(input)};
}

// Where the newest run that had them found its data sets, or below `data` the files of the same
// names.
Config data_config(H5Content& content, const std::optional<fs::path>& data) {
  Config config = read_data_sets(attribute(content, "config"));
  std::vector<std::string> older = column<std::string>(table(content, "runs"), "config");
  std::ranges::reverse(older);
  for (const std::string& text : older) {
    for (DatasetConfig& dataset : read_data_sets(text).datasets) {
      if (std::ranges::count(config.datasets, dataset.name, &DatasetConfig::name) == 0) {
        config.datasets.push_back(std::move(dataset));
      }
    }
  }
  if (!data) return config;
  config.paths.data = *data;
  for (DatasetConfig& dataset : config.datasets) {
    if (!dataset.path.empty()) dataset.path = *data / dataset.path.filename();
  }
  return config;
}

// A cell's key, which says of what file the data set was and how it was read.
Json key_of(const std::string& key_json) {
  Json key = Json::parse(key_json, nullptr, /*allow_exceptions=*/false);
  try {
    key.at("dataset").at("fingerprint").get_ref<const std::string&>();
    dataset_of_key(key.at("dataset"));
    return key;
  } catch (const Json::exception&) {
    fail(Exit::kUsage, "A cell's key_json names no fingerprint of its data set: '{}'.", key_json);
  }
}

// The data sets that cells name, read once each and proved to be those that were answered.
class Answered {
 public:
  explicit Answered(Config config) : config_(std::move(config)) {}

  // key: what a cell's key says of its data set.
  const Dataset& dataset(const Json& key) {
    const auto [place, is_new] = loaded_.try_emplace(key.dump());
    Dataset& dataset = place->second;
    if (is_new) {
      config_.datasets.push_back(as_answered(key));
      require_there(config_.datasets.back());
      dataset = load_configured_dataset(config_, config_.datasets.size() - 1,
                                        key.value("senders", size_t{1}));
      config_.datasets.pop_back();
    }
    const std::string fingerprint = key.at("fingerprint");
    if (dataset.fingerprint == fingerprint) return dataset;
    fail(Exit::kUsage,
         "'{}' is not the file that was answered (its fingerprint is {}, that of '{}' in the "
         "results {}): name the folder of the same file with --data.",
         dataset.path.string(), dataset.fingerprint, dataset.info.name, fingerprint);
  }

  // The metrics of the data set's configuration, in alphabetical order, but for the cell's own.
  std::vector<std::string> further(const std::string& dataset, const std::string& metric) const {
    std::vector<std::string> metrics = configured(dataset).metric;
    std::erase(metrics, metric);
    std::ranges::sort(metrics);
    return metrics;
  }

 private:
  void require_there(const DatasetConfig& named) const {
    const fs::path& folder = config_.paths.data;
    const bool there = named.path.empty() ? look_for_dataset(named.name, folder).has_value()
                                          : is_there(named.path) || is_there(folder / named.path);
    if (there) return;
    fail(Exit::kUsage,
         "The data set '{}', whose accepted answers scoring needs, is not where the run had it "
         "('{}'): name the folder that holds it with --data.",
         named.name, (named.path.empty() ? folder : named.path).string());
  }

  DatasetConfig configured(const std::string& name) const {
    const auto found = std::ranges::find(config_.datasets, name, &DatasetConfig::name);
    return found == config_.datasets.end() ? DatasetConfig{.name = name} : *found;
  }

  // From the place where the newest run had it, by the fields that this cell's run took.
  DatasetConfig as_answered(const Json& key) const {
    const DatasetConfig read = dataset_of_key(key);
    DatasetConfig named = configured(read.name);
    if (read.is_own() && !named.is_own()) {
      fail(Exit::kUsage, "No run in the results says where the data set '{}' was read from.",
           read.name);
    }
    named.context = read.context;
    named.question = read.question;
    named.answers = read.answers;
    named.id = read.id;
    named.shuffle = read.shuffle;
    return named;
  }

  Config config_;
  std::map<std::string, Dataset> loaded_;  // by the cell's key of it
};

const std::vector<std::string>& accepted_answers(const Dataset& dataset, uint32_t sample,
                                                 const std::string& id) {
  if (sample < dataset.samples.size() && dataset.samples[sample].id == id) {
    return dataset.samples[sample].answers;
  }
  fail(Exit::kUsage,
       "Sample {} of '{}' is '{}' in the results, but {} in '{}': this version of the program "
       "orders or names the samples in another way. Score with the version that ran.",
       sample, dataset.info.name, id,
       sample < dataset.samples.size() ? "'" + dataset.samples[sample].id + "'" : "missing",
       dataset.path.string());
}

// The cells' columns that a new score changes, and what it is made from.
struct Cells {
  explicit Cells(Table& t)
      : pair(column<std::string>(t, "pair")),
        dataset(column<std::string>(t, "dataset")),
        method(column<std::string>(t, "method")),
        metric(column<std::string>(t, "metric")),
        normalisation(column<std::string>(t, "normalisation")),
        key(column<std::string>(t, "key")),
        key_json(column<std::string>(t, "key_json")),
        score(column<double>(t, "score")),
        standard_error(column<double>(t, "standard_error")) {}

  std::vector<std::string>&pair, &dataset, &method, &metric, &normalisation, &key, &key_json;
  std::vector<double>&score, &standard_error;
};

// A row's cell, which must be one of them.
size_t place_of(int32_t cell, size_t cells, const char* table, size_t row) {
  if (cell >= 0 && static_cast<size_t>(cell) < cells) return static_cast<size_t>(cell);
  fail(Exit::kUsage,
       "Row {} of the table '{}' is of cell {}, and there are {}: the file is damaged.", row, table,
       cell, cells);
}

// What a sample of the results is scored by.
struct ToScore {
  size_t cell = 0;
  std::string_view answer;
  bool failed = false;
  const std::vector<std::string>* accepted = nullptr;

  double by(const std::string& metric, Lemmas lemmas) const {
    return failed ? 0 : score(metric, answer, *accepted, lemmas);
  }
};

std::vector<ToScore> samples_to_score(Table& samples, const Cells& cells, Answered& answered) {
  const auto& cell = column<int32_t>(samples, "cell");
  const auto& sample = column<uint32_t>(samples, "sample");
  const auto& id = column<std::string>(samples, "sample_id");
  const auto& answer = column<std::string>(samples, "answer");
  const auto& failed = column<uint8_t>(samples, "failed");
  std::vector<const Dataset*> datasets;
  for (const std::string& key_json : cells.key_json) {
    datasets.push_back(&answered.dataset(key_of(key_json).at("dataset")));
  }
  std::vector<ToScore> to_score;
  for (size_t row = 0; row < samples.rows; ++row) {
    const size_t c = place_of(cell[row], datasets.size(), "samples", row);
    to_score.push_back(
        {c, answer[row], failed[row] != 0, &accepted_answers(*datasets[c], sample[row], id[row])});
  }
  return to_score;
}

// Gives the samples their new scores; [cell] those of each cell.
std::vector<std::vector<double>> score_samples(Table& samples, const Cells& cells,
                                               std::span<const ToScore> to_score, Lemmas lemmas) {
  auto& new_score = column<double>(samples, "score");
  std::vector<std::vector<double>> of_cells(cells.metric.size());
  for (size_t row = 0; row < to_score.size(); ++row) {
    const size_t c = to_score[row].cell;
    new_score[row] = to_score[row].by(cells.metric[c], lemmas);
    of_cells[c].push_back(new_score[row]);
  }
  return of_cells;
}

// Likewise for the answers of recalibrations; adds those that are part of a cell's mean.
void score_recalibrations(Table& table, const Cells& cells, Answered& answered, Lemmas lemmas,
                          std::vector<std::vector<double>>& of_cells) {
  const auto& cell = column<int32_t>(table, "cell");
  const auto& sample = column<uint32_t>(table, "sample");
  const auto& answer = column<std::string>(table, "answer");
  const auto& scored = column<uint8_t>(table, "scored");
  auto& new_score = column<double>(table, "score");
  for (size_t row = 0; row < table.rows; ++row) {
    const size_t c = place_of(cell[row], of_cells.size(), "recalibrations", row);
    const Dataset& dataset = answered.dataset(key_of(cells.key_json[c]).at("dataset"));
    new_score[row] = score(cells.metric[c], answer[row], dataset.at(sample[row]).answers, lemmas);
    if (scored[row] != 0) of_cells[c].push_back(new_score[row]);
  }
}

// The rows of a column, in that order.
Column chosen_rows(const Column& column, std::span<const size_t> rows) {
  Column chosen = column;
  std::visit(
      [&](auto& values) {
        const auto all = std::move(values);
        values.clear();
        for (const size_t row : rows) values.push_back(all[row]);
      },
      chosen.values);
  return chosen;
}

// /scores anew, by every further metric of the data sets: also for the rows of a run that did not
// know the metric yet. What names a sample stands at the head of /samples.
Table further_scores(const Table& samples, const Cells& cells, std::span<const ToScore> to_score,
                     const Answered& answered, Lemmas lemmas) {
  std::vector<size_t> rows;
  std::vector<std::string> metrics;
  std::vector<double> scores;
  for (size_t row = 0; row < to_score.size(); ++row) {
    const size_t c = to_score[row].cell;
    for (std::string& metric : answered.further(cells.dataset[c], cells.metric[c])) {
      rows.push_back(row);
      scores.push_back(to_score[row].by(metric, lemmas));
      metrics.push_back(std::move(metric));
    }
  }
  Table further{.name = "scores", .rows = rows.size(), .columns = {}};
  for (const Column& column : samples.columns) {
    further.columns.push_back(chosen_rows(column, rows));
    if (column.name == "sample_id") break;
  }
  std::ranges::move(further_score_columns(std::move(metrics), std::move(scores)),
                    std::back_inserter(further.columns));
  return further;
}

void set_metric(Cells& cells, size_t cell, const RescoreOptions& options) {
  if (options.metric) cells.metric[cell] = *options.metric;
  cells.normalisation[cell] = normalisation_name(cells.metric[cell], options.lemmas);
  Json key = key_of(cells.key_json[cell]);
  key["metric"] = cells.metric[cell];
  key["normalisation"] = cells.normalisation[cell];
  key.erase("lemmas");
  const std::string lemmas = lemmas_fingerprint(cells.metric[cell], options.lemmas);
  if (!lemmas.empty()) key["lemmas"] = lemmas;
  cells.key_json[cell] = key.dump();
  cells.key[cell] = hash128_hex(cells.key_json[cell]);
}

// By one metric, cells of several settings may become the same, each sample there twice.
void require_one_setting(H5Content& content, const fs::path& path) {
  const auto* variants = find_column<std::string>(table(content, "cells"), "variant");
  if (variants == nullptr || std::ranges::all_of(*variants, &std::string::empty)) return;
  fail(Exit::kUsage,
       "'{}' holds cells of several settings (its column `variant`): score the results.h5 beside "
       "it, which has one.",
       path.string());
}

// A folder's results.h5 stays its runs' own, also where it is not there yet.
void check_output(const RescoreOptions& options) {
  const fs::path input = results_path(options.input), output = fs::absolute(options.output);
  std::error_code error;
  if (fs::equivalent(input, output, error) ||
      (output.filename() == input.filename() &&
       fs::equivalent(options.input, output.parent_path(), error))) {
    fail(Exit::kUsage, "'{}' is what is scored: give --output another name.",
         options.output.string());
  }
  require_replaceable(options.output);
}

}  // namespace

std::vector<RescoredCell> rescore(const RescoreOptions& options) {
  check_output(options);
  auto [content, from] = read_stored(options.input);
  require_one_setting(content, from);
  Cells cells(table(content, "cells"));
  const std::vector<double> before = cells.score;
  for (size_t c = 0; c < before.size(); ++c) {
    set_metric(cells, c, options);
    if (options.lemmas == Lemmas::kIfInstalled) warn_without_lemmas(cells.metric[c]);
  }
  Answered answered(data_config(content, options.data));
  Table& samples = table(content, "samples");
  const std::vector<ToScore> to_score = samples_to_score(samples, cells, answered);
  auto scores = score_samples(samples, cells, to_score, options.lemmas);
  std::vector<size_t> n;
  for (const std::vector<double>& of_cell : scores) n.push_back(of_cell.size());
  if (Table* online = find_table(content, "recalibrations")) {
    score_recalibrations(*online, cells, answered, options.lemmas, scores);
  }
  std::vector<RescoredCell> rescored;
  for (size_t c = 0; c < scores.size(); ++c) {
    const MeanScore mean = mean_score(scores[c]);
    cells.score[c] = mean.score;
    cells.standard_error[c] = mean.standard_error;
    rescored.push_back({cells.pair[c], cells.dataset[c], cells.method[c], cells.metric[c], n[c],
                        before[c], mean.score, mean.standard_error});
  }
  Table& failures = table(content, "failures");
  const auto& cell_of_failure = column<int32_t>(failures, "cell");
  for (size_t row = 0; row < failures.rows; ++row) {
    if (cell_of_failure[row] < 0) continue;
    column<std::string>(failures, "key")[row] =
        cells.key[place_of(cell_of_failure[row], cells.key.size(), "failures", row)];
  }
  Table further = further_scores(samples, cells, to_score, answered, options.lemmas);
  const auto place = std::ranges::find(content.tables, "scores", &Table::name);
  if (place == content.tables.end()) {  // of a version that had no such table
    content.tables.push_back(std::move(further));
  } else {
    *place = std::move(further);
  }
  std::erase_if(content.attributes, [](const auto& entry) { return entry.first == "rescored"; });
  const Json note = {{"from", from.string()},
                     {"argv", options.argv},
                     {"date", wall_clock_text()},
                     {"software_version", program_version()}};
  content.attributes.emplace_back("rescored", note.dump());
  write_file_atomic(options.output, h5_image(content.attributes, content.tables));
  return rescored;
}

}  // namespace kvcomm
