// The records of a journal, one plain struct for each type of line. They are all that a run leaves
// behind: results.h5 and what is done already are computed from them (results.h, completed.h).
//
// Rules that hold for all of them: bytes are uint64, durations seconds of one host's monotonic
// clock, layers and samples count from 0, texts are UTF-8 (what is not becomes U+FFFD when
// written). A number that does not exist is NaN. A field that a line lacks keeps the default given
// here, so that a field can be added without losing older journals.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "store/columns.h"

namespace kvcomm {

inline constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// One run of the program; the first line of its journal. A later one in the same journal replaces
// it.
struct RunRecord {
  static constexpr std::string_view kType = "run";
  std::string run_id;  // new_run_id(); also the journal's file name
  std::string date;    // wall_clock_text() at the start
  std::vector<std::string> argv;
  std::string config;                               // the effective configuration, as text
  std::string version;                              // of the program
  std::string commit;                               // with "-dirty" where the tree was
  std::string dependencies;                         // "libtorch@2.11.0;openmpi@4.1.4;..."
  std::string machine;                              // host, processor, memory, devices in words
  std::map<std::string, int64_t> batches;           // samples, by pair
  std::map<std::string, std::string> environment;   // SLURM_*, NCCL_*, OMP_NUM_THREADS, ...
  std::map<std::string, std::string> fingerprints;  // of weights, data files, tokenizers by name
};

// A layer of a cell: where its place in the ranking came from.
struct LayerRow {
  int32_t layer = 0;
  double importance = kNone;  // measured by calibration; kNone where a method measures none
  double prior = kNone;       // Gaussian over depth, likewise
  double score = kNone;       // what the ranking sorts by, likewise
  int32_t rank = -1;          // 0 = first choice; -1 where a method does not rank
  bool selected = false;      // its keys and values are sent
};

// A pair x dataset x method of a run, with the key that its rows carry. Every run writes one for
// each of its cells, also for those with nothing left to do: the newest says which key ran last.
// A further record of the same cell and key (the layers known after calibration) replaces it.
struct CellRecord {
  static constexpr std::string_view kType = "cell";
  std::string key;                    // hash of key_json
  std::string key_json;               // canonical JSON of all resolved values that decide an answer
  std::string pair, dataset, method;  // names; method with the parameters that the TOML set
  std::string metric;                 // "f1", "includes", ...
  std::string normalisation;          // of texts before they are compared
  std::string fidelity;               // "paper" or "release"
  std::string dtype;                  // "float32" or "bfloat16"
  std::string calibration_key;        // "" where the method needs none
  uint64_t n_planned = 0;             // samples that this run wants of the cell
  bool recalibration_scored = false;  // the score is of its recalibrations' answers too
  bool receiver_alone = false;        // it answers the question without any message
  // The parameters that a study varies: those of a plot's x and, where there are two, y axis.
  // Empty: it is none. series: the cell's label without them.
  std::vector<std::string> axes;
  std::vector<double> place;  // their values
  std::string series;
  std::vector<LayerRow> layers;  // empty: no layers are chosen, or they are not known yet
};

// A sender's part in a row, where there are several.
struct SenderPart {
  uint64_t context_tokens = 0, output_tokens = 0, payload_bytes = 0, header_bytes = 0;
  double prefill_s = 0;
};

// One attempt at one sample of a cell.
struct SampleRow {
  static constexpr std::string_view kType = "sample";
  std::string key;        // of its cell
  uint32_t sample = 0;    // place in the dataset's evaluated order, before `limit`
  uint32_t attempt = 1;   // 1, or 2 when re-queued
  std::string sample_id;  // the record's own id, or its file:line
  std::string answer;     // the receiver's text, whole
  double score = 0;       // counts as 0 where failed
  std::map<std::string, double> further_scores;  // by metrics beside the cell's; 0 where failed
  bool failed = false;
  std::vector<uint64_t> layer_bytes;  // kv_bytes by layer of the model; empty without KV
  std::vector<SenderPart> senders;    // of which the columns are sums; empty of one sender
#define KVC_MEMBER(type, name, units, in_samples, in_cells, absent) type name = absent;
  KVC_SAMPLE_COLUMNS(KVC_MEMBER)
#undef KVC_MEMBER
};

// Its other members, for who reads and writes them all.
#define KVC_SAMPLE_FIELDS(FIELD) \
  FIELD(key)                     \
  FIELD(sample)                  \
  FIELD(attempt)                 \
  FIELD(sample_id)               \
  FIELD(answer)                  \
  FIELD(score)                   \
  FIELD(further_scores)          \
  FIELD(failed)                  \
  FIELD(layer_bytes)             \
  FIELD(senders)

// The importances of a (pair, dataset), measured once. The first of a key is kept.
struct CalibrationRecord {
  static constexpr std::string_view kType = "calibration";
  std::string key;       // hash of key_json
  std::string key_json;  // canonical JSON of all that decides the importances
  std::string pair, dataset;
  std::vector<double> importance;  // [layers]
  uint64_t bytes = 0;              // payload that calibration sent
  double seconds = 0;
};

// A recalibration of a cell: the layers that were chosen anew by one sample, and what the receiver
// answered with all of them. The first of a key and sample is kept.
struct RecalibrationRecord {
  static constexpr std::string_view kType = "recalibration";
  std::string key;                 // of its cell
  uint32_t sample = 0;             // by whose importances they were chosen
  std::vector<int32_t> layers;     // ascending
  std::vector<double> importance;  // [layers of the model]
  uint64_t bytes = 0;              // payload of all layers
  uint64_t return_bytes = 0;       // payload of the choice, to all senders
  double seconds = 0;
  std::string answer;
  double score = 0;
};

// What a rank of a run was and did. A later record of the same run and rank replaces an earlier
// one.
struct RankRecord {
  static constexpr std::string_view kType = "rank";
  std::string run_id;
  int32_t rank = 0;
  std::string host;
  int64_t pid = 0;
  std::string role;  // "sender", "receiver", "both"
  int32_t lane = 0;
  std::string device;     // "cpu", "cuda:0", ...
  std::string transport;  // "loopback", "mpi", "nccl"
  double load_s = 0;      // busy seconds by phase, as they really ran
  double calibration_s = 0;
  double sender_prefill_s = 0;
  double wire_s = 0;  // of moving payload
  double wait_s = 0;  // for the peer's work
  double receiver_prefill_s = 0;
  double decode_s = 0;
  double idle_s = 0;
  double sender_flops = kNone;  // that its models ran, by what they ran for
  double receiver_flops = kNone;
  double calibration_flops = kNone;
  double host_joules = kNone;  // of the node's processors and of its GPU since it began
  double gpu_joules = kNone;
  uint64_t peak_weights_bytes = 0;  // the most that tensors of a sort took at once
  uint64_t peak_kv_bytes = 0;
  uint64_t peak_activation_bytes = 0;
  uint64_t start_host_bytes = 0;   // the process's memory before it loaded a model
  uint64_t peak_host_bytes = 0;    // the most memory that the process had at once
  uint64_t peak_device_bytes = 0;  // the most that its tensors took of a GPU
};

// Why an attempt failed.
struct FailureRecord {
  static constexpr std::string_view kType = "failure";
  std::string key;  // of a cell, or of a calibration
  uint32_t sample = 0;
  uint32_t attempt = 1;
  std::string step;  // "calibration", "sender", "wire", "receiver", "score", ...
  std::string what;  // the sentence
};

// What was asked in a sample of a data set. Written once a folder for each sample that a run's
// cells cover; the first of a data set and sample is kept, one with contexts before one without.
struct QuestionRecord {
  static constexpr std::string_view kType = "question";
  std::string dataset, fingerprint;  // of the data set's files, as in its cells' key_json
  uint32_t sample = 0;
  std::string sample_id;
  std::string question;
  std::vector<std::string> answers;   // each is accepted
  std::vector<std::string> contexts;  // one a sender; empty without run.store_contexts
};

void to_json(nlohmann::json& json, const RunRecord& record);
void to_json(nlohmann::json& json, const LayerRow& record);
void to_json(nlohmann::json& json, const CellRecord& record);
void to_json(nlohmann::json& json, const SampleRow& record);
void to_json(nlohmann::json& json, const CalibrationRecord& record);
void to_json(nlohmann::json& json, const SenderPart& record);
void to_json(nlohmann::json& json, const RecalibrationRecord& record);
void to_json(nlohmann::json& json, const RankRecord& record);
void to_json(nlohmann::json& json, const FailureRecord& record);
void to_json(nlohmann::json& json, const QuestionRecord& record);

// Throw nlohmann's exceptions on a value of the wrong type.
void from_json(const nlohmann::json& json, RunRecord& record);
void from_json(const nlohmann::json& json, LayerRow& record);
void from_json(const nlohmann::json& json, CellRecord& record);
void from_json(const nlohmann::json& json, SampleRow& record);
void from_json(const nlohmann::json& json, CalibrationRecord& record);
void from_json(const nlohmann::json& json, SenderPart& record);
void from_json(const nlohmann::json& json, RecalibrationRecord& record);
void from_json(const nlohmann::json& json, RankRecord& record);
void from_json(const nlohmann::json& json, FailureRecord& record);
void from_json(const nlohmann::json& json, QuestionRecord& record);

}  // namespace kvcomm
