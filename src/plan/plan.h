// What a sweep amounts to, worked out from files alone before any model runs: pairs, data sets,
// cells and the keys that say which answers are the same. All that can be refused early is refused
// here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/config.h"
#include "data/dataset.h"
#include "method/prompt_builder.h"
#include "model/config.h"
#include "select/fidelity.h"
#include "text/prompts.h"

namespace kvcomm {

// Raised with every change that can alter an answer (tests/system/golden_test.py fails if the
// answers change and this does not).
inline constexpr int kAnswersVersion = 5;

struct PlannedModel {
  std::filesystem::path folder;
  ModelConfig config;       // no layers: absent
  std::string fingerprint;  // of the weights; "": absent or unknown
};

struct PlannedPair {
  std::vector<PlannedModel> senders;
  PlannedModel receiver;
  bool other_head = false;  // of any: an lm_head of other values beside tied embeddings
  std::string tokenizer_hash, chat_hash;  // the receiver's, used at both ends; "": absent
  std::string eos_token;                  // that its tokenizer_config.json names, or ""
  bool eos_known = false;                 // its tokenizer has it
  int64_t token_ids = 0;                  // how many its tokenizer has; 0: absent
  std::string last_token;                 // the one with the largest of them
  bool cleans_up_spaces = false;          // its tokenizer is set to
  std::string letters_doubt;              // why answers cannot be compared as letters; "": they can
  int64_t batch = 1;                      // samples: run.batch, or what fit_batches() found
  // Of a sender's own tokenizer, where a method has its model read the receiver's ids:
  std::string ids_doubt;    // why not every ordinary token is sure to have the same id; "": it has
  std::string ids_warning;  // a token that has another id there; "": none is known

  // Each of its models, the senders' first.
  std::vector<const PlannedModel*> models() const {
    std::vector<const PlannedModel*> models;
    for (const PlannedModel& sender : senders) models.push_back(&sender);
    models.push_back(&receiver);
    return models;
  }
  bool has_configs() const {
    const auto known = [](const PlannedModel* model) { return model->config.layers > 0; };
    return std::ranges::all_of(models(), known);
  }
  bool has_text() const { return !tokenizer_hash.empty() && !chat_hash.empty(); }
};

// pair x data set x method.
struct Cell {
  uint32_t id = 0;
  size_t pair = 0, dataset = 0, method = 0;  // places in the configuration
  MethodSpec spec;                           // with the pair's own alpha, mu, sigma; expanded
  int64_t samples = 0;                       // the first ones of the evaluated order
  int64_t recalibrate_every = 0;             // so many of them; 0: never
  std::string key, key_json;                 // "": something is absent
  std::string calibration_key, calibration_key_json;      // "": needs none
  int64_t calibration_from = 0, calibration_samples = 0;  // by place in that order

  // Samples whose importances are measured, once for all or again and again.
  std::vector<uint32_t> calibrating() const;
};

// What `run` would refuse for what is not there, with the code that it would leave with.
struct Absence {
  Exit exit = Exit::kUsage;
  std::string sentence;
};

struct Plan {
  Config config;
  std::string device_kind;  // "cpu" | "cuda"
  Fidelity fidelity;
  std::vector<PlannedPair> pairs;  // as in config.pairs
  std::vector<Dataset> datasets;   // as in config.datasets; those absent have no path, no samples
  std::vector<Cell> cells;         // by pair, then data set, then method; a method's are together
  std::vector<Absence> absent;     // of data sets and models with what fetches them; as run meets
  std::set<std::filesystem::path> unhashed;  // models whose weights no one has hashed yet
};

// Whether a plan can do with less than a run: pairs without config.json are left out, a model with
// config.json alone is planned as far as that goes, and data sets without a file count as
// published.
enum class Absent { kRefused, kNamed };

// Weights are hashed, which takes as long as reading them, or left unknown where no one did before:
// their cells have no keys then.
enum class Hashing { kAll, kKnown };

// Fails with the sentence: kUsage (configuration, data), kEnvironment (models, weights).
Plan make_plan(Config config, const std::string& device_kind, Absent absent = Absent::kRefused,
               Hashing hashing = Hashing::kAll);

// A model's folder: a name below paths.models, or a path.
std::filesystem::path model_folder(const Config& config, const std::string& name);

Prompts load_prompts(const Config& config);

// What the program knows of a data set, or what the configuration says of one's own; the metric is
// the first that the configuration names, where it does.
DatasetInfo info_of(const DatasetConfig& dataset);

// The metrics of /scores: those that the configuration names behind the first.
std::span<const std::string> further_metrics(const DatasetConfig& dataset);

// What a row holds by them before its answer is scored: 0.
std::map<std::string, double> unscored(const DatasetConfig& dataset);

// Data set number `index` of the configuration, read from its file for so many senders.
Dataset load_configured_dataset(const Config& config, size_t index, size_t senders);

// Logs what the metrics of a data set cannot do: compare lemmas for want of the dictionary, or give
// any answer to some of its samples more than 0.
void warn_of_scores(const Dataset& dataset, const DatasetConfig& named);

// Of the evaluated order; where the file is absent, of the published data.
int64_t sample_count(const Dataset& dataset);

int64_t max_new_tokens(const DatasetConfig& config, const DatasetInfo& info);

// Tokenizer and chat template of a model folder.
std::shared_ptr<const Text> load_text(const std::filesystem::path& folder);

// What turns samples of a data set into a pair's prompts.
PromptBuilder make_prompt_builder(const Config& config, const PairConfig& pair,
                                  const DatasetInfo& info, std::shared_ptr<const Text> text);

}  // namespace kvcomm
