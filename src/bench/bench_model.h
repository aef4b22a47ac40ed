// kvcomm bench model: how fast a model reads prompts and generates, beside what this machine
// reaches with the bare products and the bare reads of memory that this takes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/samples.h"
#include "comm/communicator.h"
#include "config/config.h"

namespace kvcomm::bench {

struct ModelOptions {
  // One of the two: a folder with weights; or a config.json, or its folder, of whose shapes weights
  // are drawn.
  std::filesystem::path model, random_weights;
  RunConfig run;  // dtype, device, threads, prefill_tokens, seed
  // Every combination is measured.
  std::vector<int64_t> prompt{512};    // tokens of each prompt
  std::vector<int64_t> generate{128};  // tokens of each answer, at least 2
  std::vector<int64_t> batch{1, 8};    // sequences
  int64_t repeats = 3;
  std::filesystem::path record;  // where the report will be written; empty: nowhere
};

struct ModelRow {
  int64_t prompt = 0, generate = 0, batch = 0;  // as in ModelOptions
  Samples prefill;  // of the whole batch; each answer's first token comes out of it
  Samples decode;   // of the generate - 1 steps that follow
  // What the machine reaches: of the prompts' products with the layers' matrices, and of what a
  // step reads (weights, and the keys and values of all sequences, of a step in the middle).
  double prefill_flop = 0, flop_per_s = 0;
  double step_bytes = 0, bytes_per_s = 0;
  std::string product, read;  // how it is reached

  double prompt_tokens_per_s() const;
  double generated_tokens_per_s() const;
  // Shares of 1: the limit's seconds by the model's own.
  double prefill_share() const;
  double decode_share() const;
};

struct ModelReport {
  std::string model, dtype, device;
  int threads = 1;
  double load_s = 0;
  std::vector<ModelRow> rows;
};

// Collective over a world of one. Hands over the report and returns kOk, or the code of what was
// refused and logged.
Exit bench_model(Communicator& world, const ModelOptions& options,
                 const std::function<void(const ModelReport&)>& finished);

}  // namespace kvcomm::bench
