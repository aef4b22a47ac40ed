// How long a folder of stored rows takes to be read and merged: kvcomm's resume and its end.
//   store_bench FOLDER [ROWS]      FOLDER is made, and must not exist
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "base/clock.h"
#include "base/error.h"
#include "store/journal.h"
#include "store/process.h"
#include "store/results.h"

namespace kvcomm {
namespace {

constexpr uint32_t kSamples = 500;  // of a cell, as in most of the paper's

// A row of some 700 bytes, as KVComm writes them.
SampleRow row_of(const std::string& key, uint32_t sample) {
  SampleRow row{
      .key = key,
      .sample = sample,
      .sample_id = fmt::format("5a8b57f25542995d1e6f{:04x}", sample),
      .answer = fmt::format("The answer to question {} is in the second paragraph.", sample),
      .score = sample % 3 == 0 ? 1.0 : 0.25,
      .layer_bytes = std::vector<uint64_t>(16, 123456)};
  row.context_tokens = 1000 + sample;
  row.prompt_tokens = 60;
  row.output_tokens = 17;
  row.layers_sent = 8;
  row.payload_bytes = row.kv_bytes = 8 * 123456;
  row.header_bytes = 400;
  row.sender_prefill_s = 0.0123456789 * (1 + sample);
  row.wire_hidden_s = 0.00123456789;
  row.receiver_prefill_s = 0.0234567891;
  row.decode_s = 0.1234567891;
  return row;
}

void write_journal(const std::filesystem::path& folder, uint32_t rows) {
  Journal journal(folder, {.run_id = new_run_id()});
  for (uint32_t first = 0; first < rows; first += kSamples) {
    const std::string key = fmt::format("{:032x}", first);
    journal.append(CellRecord{.key = key,
                              .key_json = "{}",
                              .pair = fmt::format("pair {}", first / 50'000),
                              .dataset = "hotpotqa",
                              .method = fmt::format("kvcomm(ratio={})", first),
                              .n_planned = kSamples});
    for (uint32_t i = 0; i < std::min(kSamples, rows - first); ++i) journal.append(row_of(key, i));
  }
  journal.sync();
  fmt::print("{} rows of {} B written\n", rows, std::filesystem::file_size(journal.path()) / rows);
}

void run(const std::filesystem::path& folder, uint32_t rows) {
  if (std::filesystem::exists(folder)) fail(Exit::kUsage, "'{}' exists.", folder.string());
  write_journal(folder, rows);
  const Stopwatch read;
  const Results results(read_journals(folder));
  fmt::print("read in {:.2f} s\n", read.elapsed_s());
  const Stopwatch written;
  write_results(folder / "results.h5", results);
  fmt::print("results.h5 written in {:.2f} s, peak memory {:.2f} GB\n", written.elapsed_s(),
             static_cast<double>(peak_memory()) / 1e9);
}

}  // namespace
}  // namespace kvcomm

int main(int argc, char** argv) {
  try {
    kvcomm::run(argc > 1 ? argv[1] : "",
                argc > 2 ? static_cast<uint32_t>(std::atoi(argv[2])) : 436'000);
  } catch (const kvcomm::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.exit());
  }
  return 0;
}
