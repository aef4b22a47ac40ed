// A small output folder's worth of records, for the tests of store/ and of analysis/.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "store/journal.h"
#include "store/rows.h"

namespace kvcomm::testing {

inline RunRecord example_run(const std::string& run_id) {
  return {.run_id = run_id,
          .date = "2026-11-23 04:45:49 +0000",
          .argv = {"kvcomm", "run", "sweep für 2.toml"},
          .config = "[run]\nname = \"x\"\n",
          .version = "0.1.0",
          .commit = "abc1234",
          .dependencies = "libtorch@2.11.0",
          .machine = "a box",
          .environment = {{"OMP_NUM_THREADS", "2"}},
          .fingerprints = {{"a/b", "00ff"}}};
}

// Of the data of fingerprint "f00d"; parameters is JSON.
inline CellRecord example_cell(const std::string& key, const std::string& method,
                               const std::string& parameters = "{}") {
  return {.key = key,
          .key_json = R"({"dataset":{"fingerprint":"f00d","name":"Länder"},"dtype":"float32",)"
                      R"("method":")" +
                      method.substr(0, method.find('(')) + R"(","parameters":)" + parameters + "}",
          .pair = "smol",
          .dataset = "Länder",
          .method = method,
          .metric = "includes",
          .normalisation = "none",
          .fidelity = "paper",
          .dtype = "float32",
          .n_planned = 4};
}

// Two of four layers, kept by calibration "cal".
inline CellRecord example_kv_cell(const std::string& key, const std::string& method,
                                  const std::string& parameters = "{}") {
  CellRecord cell = example_cell(key, method, parameters);
  cell.calibration_key = "cal";
  for (int32_t layer = 0; layer < 4; ++layer) {
    const bool selected = layer == 1 || layer == 2;
    cell.layers.push_back({.layer = layer,
                           .importance = 0.1 * layer,
                           .prior = 0.5,
                           .score = 0.25 * layer,
                           .rank = 3 - layer,
                           .selected = selected});
  }
  return cell;
}

inline SampleRow example_row(const std::string& key, uint32_t sample, double score) {
  return {.key = key,
          .sample = sample,
          .sample_id = "länder.jsonl:" + std::to_string(sample + 1),
          .answer = " Zürich 東京 🙂\n",
          .score = score,
          .context_tokens = 10,
          .prompt_tokens = 20,
          .output_tokens = 5,
          .header_bytes = 7,
          .decode_s = 0.5};
}

inline SampleRow example_kv_row(const std::string& key, uint32_t sample, double score) {
  SampleRow row = example_row(key, sample, score);
  row.layers_sent = 2;
  row.layer_bytes = {0, 100, 200, 0};
  row.payload_bytes = row.kv_bytes = 300;
  return row;
}

inline QuestionRecord example_question(uint32_t sample) {
  return {.dataset = "Länder",
          .fingerprint = "f00d",
          .sample = sample,
          .sample_id = "länder.jsonl:" + std::to_string(sample + 1),
          .question = "Wo liegt Zürich " + std::to_string(sample) + "?",
          .answers = {"Schweiz", "die \"Schweiz\""}};
}

inline SampleRow failed(SampleRow row) {
  row.failed = true;
  row.answer.clear();
  return row;
}

inline SampleRow retried(SampleRow row) {
  row.attempt = 2;
  return row;
}

}  // namespace kvcomm::testing
