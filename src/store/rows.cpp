#include "store/rows.h"

#include <nlohmann/json.hpp>

namespace kvcomm {

namespace {

// JSON has no NaN: nlohmann writes it as null.
void read(const nlohmann::json& json, double& value) {
  value = json.is_null() ? kNone : json.get<double>();
}

void read(const nlohmann::json& json, std::vector<double>& values) {
  values.assign(json.size(), kNone);
  for (size_t i = 0; i < values.size(); ++i) read(json.at(i), values[i]);
}

template <typename T>
void read(const nlohmann::json& json, T& value) {
  json.get_to(value);
}

template <typename T>
void read_field(const nlohmann::json& json, const char* name, T& value) {
  if (const auto found = json.find(name); found != json.end()) read(*found, value);
}

template <typename T>
void write_field(nlohmann::json& json, const char* name, const T& value) {
  json[name] = value;
}

// Most rows have none.
void write_field(nlohmann::json& json, const char* name,
                 const std::map<std::string, double>& scores) {
  if (!scores.empty()) json[name] = scores;
}

void write_field(nlohmann::json& json, const char* name, const std::vector<SenderPart>& senders) {
  if (!senders.empty()) json[name] = senders;
}

}  // namespace

// One list of members for both directions.
#define KVC_WRITE_FIELD(name) write_field(json, #name, record.name);
#define KVC_READ_FIELD(name) read_field(json, #name, record.name);
#define KVC_RECORD(Record, ...)                                             \
  void to_json(nlohmann::json& json, const Record& record) {                \
    NLOHMANN_JSON_EXPAND(NLOHMANN_JSON_PASTE(KVC_WRITE_FIELD, __VA_ARGS__)) \
  }                                                                         \
  void from_json(const nlohmann::json& json, Record& record) {              \
    NLOHMANN_JSON_EXPAND(NLOHMANN_JSON_PASTE(KVC_READ_FIELD, __VA_ARGS__))  \
  }

KVC_RECORD(RunRecord, run_id, date, argv, config, version, commit, dependencies, machine, batches,
           environment, fingerprints)
KVC_RECORD(LayerRow, layer, importance, prior, score, rank, selected)
KVC_RECORD(CellRecord, key, key_json, pair, dataset, method, metric, normalisation, fidelity, dtype,
           calibration_key, n_planned, recalibration_scored, receiver_alone, axes, place, series,
           layers)
KVC_RECORD(SenderPart, context_tokens, output_tokens, payload_bytes, header_bytes, prefill_s)
KVC_RECORD(RecalibrationRecord, key, sample, layers, importance, bytes, return_bytes, seconds,
           answer, score)
#define KVC_WRITE_COLUMN(type, name, units, in_samples, in_cells, absent) KVC_WRITE_FIELD(name)
#define KVC_READ_COLUMN(type, name, units, in_samples, in_cells, absent) KVC_READ_FIELD(name)
void to_json(nlohmann::json& json, const SampleRow& record) {
  KVC_SAMPLE_FIELDS(KVC_WRITE_FIELD)
  KVC_SAMPLE_COLUMNS(KVC_WRITE_COLUMN)
}
void from_json(const nlohmann::json& json, SampleRow& record){
    KVC_SAMPLE_FIELDS(KVC_READ_FIELD)
        KVC_SAMPLE_COLUMNS(KVC_READ_COLUMN)} KVC_RECORD(CalibrationRecord, key, key_json, pair,
                                                        dataset, importance, bytes, seconds)
    KVC_RECORD(RankRecord, run_id, rank, host, pid, role, lane, device, transport, load_s,
               calibration_s, sender_prefill_s, wire_s, wait_s, receiver_prefill_s, decode_s,
               idle_s, sender_flops, receiver_flops, calibration_flops, host_joules, gpu_joules,
               peak_weights_bytes, peak_kv_bytes, peak_activation_bytes, start_host_bytes,
               peak_host_bytes, peak_device_bytes)
        KVC_RECORD(FailureRecord, key, sample, attempt, step, what)
            KVC_RECORD(QuestionRecord, dataset, fingerprint, sample, sample_id, question, answers,
                       contexts)

}  // namespace kvcomm
