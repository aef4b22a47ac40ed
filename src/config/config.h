// The configuration of a sweep: a TOML file, --set and flags, checked as a whole before anything
// else is loaded. All that is wrong with it is refused at once (Exit::kUsage), each thing with its
// place.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "method/type.h"
#include "select/fidelity.h"

namespace kvcomm {

enum class FidelityChoice { kPaper, kRelease };
enum class DtypeChoice { kFloat32, kBfloat16 };
enum class DeviceChoice { kAuto, kCpu, kCuda };
enum class TransportChoice { kAuto, kMpi, kNccl };
enum class Placement { kPack, kSpread, kColocate };

// What the configuration calls each choice, in the enumeration's order.
constexpr auto names_of(FidelityChoice) { return std::array{"paper", "release"}; }
constexpr auto names_of(DtypeChoice) { return std::array{"float32", "bfloat16"}; }
constexpr auto names_of(DeviceChoice) { return std::array{"auto", "cpu", "cuda"}; }
constexpr auto names_of(TransportChoice) { return std::array{"auto", "mpi", "nccl"}; }
constexpr auto names_of(Placement) { return std::array{"pack", "spread", "colocate"}; }

constexpr int64_t element_bytes(DtypeChoice dtype) {
  return dtype == DtypeChoice::kFloat32 ? 4 : 2;
}

template <typename Choice>
constexpr std::string_view to_text(Choice choice) {
  return names_of(choice).at(static_cast<size_t>(choice));
}

struct RunConfig {
  std::string name;              // default: the file's stem
  std::filesystem::path output;  // the folder of results.h5; default: results/<name>
  FidelityChoice fidelity = FidelityChoice::kPaper;
  DtypeChoice dtype = DtypeChoice::kBfloat16;
  DeviceChoice device = DeviceChoice::kAuto;
  TransportChoice transport = TransportChoice::kAuto;
  int64_t limit = 0;              // first samples of the evaluated order, 0: all
  int64_t batch = 0;              // samples; 0: as many as fit
  int64_t prefill_tokens = 4096;  // the most in one pass of a model over prompts
  bool reuse_prefixes = true;     // what prompts begin with is read once
  int64_t seed = 42;              // Random's where it gives none
  int64_t max_input_tokens = 64000;
  int64_t threads = 0;  // 0: the cores this process may use, shared out among its node's ranks
  double timeout_s = 600;
  double grace_s = 30;              // after a stop signal, for what is in hand
  std::string date = "2024-07-26";  // the day that chat templates print
  Placement placement = Placement::kPack;
  bool store_contexts = false;  // in the table /questions
};

struct PathsConfig {
  std::filesystem::path models = "models";  // holds org/name
  std::filesystem::path data = "data";
  std::filesystem::path prompts;  // a TOML file; empty: the prompts compiled in
};

struct PairConfig {
  std::string name;  // unique, usable as a file's name; default: "<sender>+<sender>--<receiver>",
                     // last parts of their paths, or one model's alone where all are the same
  std::vector<std::string> senders;                     // names below paths.models, or paths
  std::string receiver;                                 // likewise
  std::optional<double> alpha, mu, sigma;               // override the methods' for this pair
  bool sender_thinks = false, receiver_thinks = false;  // models that open with a thought
  std::string think_end;  // ends the receiver's thought before its answer (point 11); "": nothing

  // Each of its models once, the senders' first.
  std::vector<std::string> models() const;
};

struct DatasetConfig {
  std::string name;
  std::filesystem::path path;    // empty: found by name below paths.data
  std::optional<int64_t> limit;  // none: run.limit
  std::optional<int64_t> max_new_tokens;
  std::vector<std::string> metric;  // the score's and further ones; none: the data set's

  // Of data of one's own alone, and there always set, like max_new_tokens and metric (but for id):
  // names of the records' fields, the table of prompts, and whether the records are shuffled. A mix
  // may be shuffled too.
  std::vector<std::string> context;
  std::optional<std::string> question, answers, id, prompts;
  std::optional<bool> shuffle;

  bool is_own() const { return question.has_value(); }
};

struct Config {
  RunConfig run;
  PathsConfig paths;
  nlohmann::json fidelity = nlohmann::json::object();  // the fields that [fidelity] sets, by key
  std::vector<PairConfig> pairs;                       // at least one each
  std::vector<DatasetConfig> datasets;
  std::vector<MethodSpec> methods;  // arrays expanded: labels are unique; a plan expands the rest

  // Where each value that is not a default comes from, by "run.limit", "pair.0.alpha",
  // "method.2.ratio" (places in the vectors above): "sweep.toml:3:9", "--set run.limit", "--limit".
  std::map<std::string, std::string> sources;
};

// What flags of the command line say; each goes before --set, which goes before the file.
struct Overrides {
  std::optional<std::string> output;   // --output DIR
  std::optional<std::string> pair;     // --pair: a name, or a place among the [[pair]]s, from 0
  std::optional<std::string> dataset;  // --dataset: its name
  std::optional<int64_t> limit;        // --limit: whatever data sets and methods set
};

// Reads and checks a sweep's TOML file. sets are "run.limit=5", "paths.data=/scratch",
// "fidelity.sink_token=true", "pair.NAME.alpha=0.8", "dataset.NAME.limit=5",
// "method.NAME.ratio=[0.3, 0.5]" (all methods of that name) or "method.LABEL.alpha=0.8" (that one);
// values are TOML, bare words are text. Fails (kUsage) with every unknown key, wrong value and
// missing table that it found.
Config load_config(const std::filesystem::path& toml_file, std::span<const std::string> sets = {},
                   const Overrides& overrides = {});

// The values in force: run.fidelity's with those that [fidelity] sets; the name tells those that
// differ, in the struct's order: "paper(sink_token=true)".
Fidelity fidelity_of(const Config& config);

// How many senders a lane has: as many as each pair names.
size_t senders_of(const Config& config);

// Every field but the name, by its key in [fidelity].
nlohmann::json values_of(const Fidelity& fidelity);

// The method with the pair's own alpha, mu and sigma where it has them; its label stays.
MethodSpec for_pair(const MethodSpec& method, const PairConfig& pair);

// How many samples of the evaluated order a cell takes, 0: all. The method's limit goes before the
// data set's, that before run.limit.
int64_t sample_limit(const Config& config, const DatasetConfig& dataset, const MethodSpec& method);

// The effective configuration as TOML that reads back as the same: every value, methods one by one
// with their defaults as comments.
std::string config_toml(const Config& config);

// Of such a text the data sets alone: paths.data, and each [[dataset]]. Fails (kUsage) where it is
// no TOML.
Config read_data_sets(const std::string& config_toml);

// config_toml's text, each value followed by a comment that says where it comes from.
std::string show_config(const Config& config);

}  // namespace kvcomm
