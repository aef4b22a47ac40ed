// A sweep of two tiny models on four records, planned from text or refused with a sentence.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "model/weights.h"
#include "plan/plan.h"
#include "tests/method/tiny_model.h"

namespace kvcomm::testing {

namespace fs = std::filesystem;

// Weights of the shapes that the folder's config.json asks for, all zero.
inline void write_zero_weights(const fs::path& folder) {
  nlohmann::json header;
  size_t end = 0;
  for (const ExpectedTensor& tensor : expected_tensors(load_model_config(folder))) {
    const size_t begin = end;
    end += std::accumulate(tensor.shape.begin(), tensor.shape.end(), sizeof(float),
                           [](size_t size, int64_t n) { return size * static_cast<size_t>(n); });
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  const std::string text = header.dump();
  const uint64_t size = text.size();
  std::ofstream out(folder / "model.safetensors", std::ios::binary);
  out.write(reinterpret_cast<const char*>(&size), sizeof size);
  out << text << std::string(end, '\0');
}

class PlanTest : public ::testing::Test {
 protected:
  PlanTest() {
    make_tiny_model(root() / "models/a");
    make_tiny_model(root() / "models/b", "tiny-llama3-tied");
    write_data("ship");
  }

  const fs::path& root() const { return folder_.path(); }

  void write_data(const std::string& answer) {
    std::ofstream out(root() / "demo.jsonl");
    for (int i = 0; i < 4; ++i) {
      out << R"({"id": "s)" << i
          << R"(", "context": "The ship.", "question": "What?", "answers": [")" << answer
          << "\"]}\n";
    }
  }

  // The plan of a sweep from a to b; sets as on the command line.
  Plan plan(const std::vector<std::string>& sets = {}) {
    const fs::path file = root() / "sweep.toml";
    std::ofstream(file) << fmt::format(R"(
[paths]
models = "{0}/models"
data = "{0}"
[[pair]]
name = "p"
sender = "a"
receiver = "b"
[[dataset]]
{1}
{2})",
                                       root().string(), dataset_, methods_);
    return make_plan(load_config(file, sets), "cpu", absent_, hashing_);
  }

  // The same with one method, given as lines without its header.
  Plan plan_of(const std::string& method, const std::vector<std::string>& sets = {}) {
    methods_ = "[[method]]\nname = " + method + "\n";
    return plan(sets);
  }

  static std::vector<std::string> labels(const Plan& plan) {
    std::vector<std::string> all;
    for (const Cell& cell : plan.cells) all.push_back(cell.spec.label());
    return all;
  }

  void edit(const fs::path& file, const std::string& from, const std::string& to) {
    std::string text = read_file(file);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from << " in " << file;
    text.replace(at, from.size(), to);
    std::ofstream(file) << text;
  }

  // The sentence that refuses the plan.
  std::string refusal(Exit exit, const std::vector<std::string>& sets = {}) {
    try {
      plan(sets);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), exit) << error.what();
      return error.what();
    }
    return "accepted";
  }

  // The sentence that refuses a plan with this method alone.
  std::string refusal_of(const std::string& method, const std::vector<std::string>& sets = {}) {
    methods_ = "[[method]]\nname = " + method + "\n";
    return refusal(Exit::kUsage, sets);
  }

  TemporaryFolder folder_;
  Absent absent_ = Absent::kRefused;
  std::string dataset_ = "name = \"demo\"";
  Hashing hashing_ = Hashing::kAll;
  std::string methods_ = R"(
[[method]]
name = "baseline"
[[method]]
name = "kvcomm"
ratio = 0.5
[[method]]
name = "random"
[[method]]
name = "contiguous"
from = 0
to = 1
)";
};

}  // namespace kvcomm::testing
