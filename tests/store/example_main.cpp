// store_example FOLDER: writes a journal and its results.h5 there, FOLDER/empty without rows, and
// FOLDER/large.
#include <cstdio>
#include <exception>

#include "store/results.h"
#include "tests/store/example.h"

namespace {

using namespace kvcomm;
using namespace kvcomm::testing;

const char* const kParameters = R"({"alpha":0.25,"layers":null,"mu":0.5,"ratio":0.5,"sigma":10.0})";

void write_example(const std::filesystem::path& output) {
  Journal journal(output, example_run("20261123T045549.000Z-host-1"));
  journal.append(example_cell("b", "baseline"));
  journal.append(example_kv_cell("k", "kvcomm(ratio=0.5)", kParameters));
  for (int seed = 0; seed < 3; ++seed) {
    const std::string key = "r" + std::to_string(seed);
    const std::string method = "random(ratio=0.5, seed=" + std::to_string(seed) + ")";
    journal.append(
        example_kv_cell(key, method, R"({"ratio":0.5,"seed":)" + std::to_string(seed) + "}"));
    for (uint32_t sample = 0; sample < 4; ++sample) {
      journal.append(example_kv_row(key, sample, sample < static_cast<uint32_t>(seed) ? 1 : 0));
    }
  }
  for (uint32_t sample = 0; sample < 4; ++sample) {
    journal.append(example_question(sample));
    journal.append(example_row("b", sample, sample == 3 ? 1 : 0));
    const SampleRow row = example_kv_row("k", sample, 1);
    journal.append(sample == 2 ? failed(row) : row);
  }
  journal.append(CalibrationRecord{
      .key = "cal", .importance = {0, 0.1, 0.2, 0.3}, .bytes = 1200, .seconds = 2.5});
  journal.append(RankRecord{.run_id = "20261123T045549.000Z-host-1",
                            .rank = 0,
                            .host = "höst",
                            .pid = 12,
                            .role = "sender"});
  journal.append(RankRecord{.run_id = "20261123T045549.000Z-host-1",
                            .rank = 1,
                            .host = "höst",
                            .pid = 13,
                            .role = "receiver"});
  journal.append(FailureRecord{
      .key = "k", .sample = 2, .attempt = 2, .step = "wire", .what = "checksum differs"});
  journal.sync();
}

// More rows than one chunk holds, each told from the others; answers with what HDF5 cannot hold.
void write_large(const std::filesystem::path& output) {
  Journal journal(output, example_run("20261123T045549.000Z-host-3"));
  journal.append(example_cell("b", "baseline"));
  for (uint32_t sample = 0; sample < 3000; ++sample) {
    SampleRow row = example_row("b", sample, sample);
    row.answer =
        std::to_string(sample) + std::string("\0 after NUL", 11) + std::string(sample, 'x');
    journal.append(row);
  }
  journal.sync();
  merge(output);
}

}  // namespace

int main(int, char** argv) {
  try {
    const std::filesystem::path output = argv[1];
    write_example(output);
    merge(output);
    write_large(output / "large");
    { Journal journal(output / "empty", example_run("20261123T045549.000Z-host-2")); }
    merge(output / "empty");
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
