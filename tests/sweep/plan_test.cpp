// The plan of a sweep: which values are part of a cell's key and which are not, and what is refused
// before any model runs.
#include "sweep/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "tests/method/tiny_model.h"

namespace kvcomm::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

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

  // The plan of a sweep from a to b with four methods; sets as on the command line.
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
name = "demo"
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
)",
                                       root().string());
    return make_plan(load_config(file, sets), "cpu");
  }

  std::vector<std::string> keys(const std::vector<std::string>& sets = {}) {
    std::vector<std::string> all;
    for (const Cell& cell : plan(sets).cells) all.push_back(cell.key);
    return all;
  }

  // For each method a letter: '=' its key stays with these sets, 'x' it changes.
  std::string changed(const std::vector<std::string>& sets) { return compare(before_, keys(sets)); }
  static std::string compare(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    std::string marks;
    for (size_t i = 0; i < a.size(); ++i) marks += a[i] == b[i] ? '=' : 'x';
    return marks;
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

  TemporaryFolder folder_;
  std::vector<std::string> before_;
};

class KeyTest : public PlanTest {
 protected:
  KeyTest() { before_ = keys(); }
};

TEST_F(KeyTest, CellsHaveKeysOfTheirOwn) {
  const std::set<std::string> distinct(before_.begin(), before_.end());
  EXPECT_EQ(distinct.size(), 4u);
  EXPECT_EQ(keys(), before_);
}

TEST_F(KeyTest, HowTheWorkIsDoneIsNoPartOfIt) {
  for (const char* set :
       {"run.limit=2", "run.batch=1", "run.batch_tokens=100", "run.threads=2", "run.timeout_s=5",
        "run.transport=mpi", "run.placement=spread", "run.name=other", "dataset.demo.limit=3",
        "method.kvcomm.limit=1", "run.device=cpu"}) {
    EXPECT_EQ(changed({set}), "====") << set;
  }
}

TEST_F(KeyTest, WhatDecidesAnAnswerIsPartOfIt) {
  EXPECT_EQ(changed({"run.dtype=float32"}), "xxxx");
  EXPECT_EQ(changed({"run.date=2025-01-01"}), "xxxx");
  EXPECT_EQ(changed({"run.max_input_tokens=500"}), "xxxx");
  EXPECT_EQ(changed({"dataset.demo.max_new_tokens=3"}), "xxxx");
  EXPECT_EQ(changed({"method.baseline.model=sender"}), "x===");
  EXPECT_EQ(changed({"run.seed=43"}), "==x=");            // Random's, where it gives none
  EXPECT_EQ(changed({"method.random.seed=42"}), "====");  // the same, in words
  EXPECT_EQ(changed({"method.contiguous.to=2"}), "===x");
  for (const char* set :
       {"alpha=0.5", "mu=0.4", "sigma=3", "calibration_samples=2", "ratio=0.75"}) {
    EXPECT_EQ(changed({std::string("method.kvcomm.") + set}), "=x==") << set;
  }
  EXPECT_EQ(changed({"method.kvcomm.alpha=1.0"}), "====");  // the default
  EXPECT_EQ(changed({"pair.p.mu=0.9"}), "=x==");
}

TEST_F(KeyTest, TheDeviceIsPartOfIt) {
  const std::vector<std::string> now = before_;
  std::vector<std::string> cuda;
  for (const Cell& cell : make_plan(plan().config, "cuda").cells) cuda.push_back(cell.key);
  EXPECT_EQ(compare(now, cuda), "xxxx");
}

TEST_F(KeyTest, NamesAreNoPartOfIt) {
  edit(root() / "models/a/config.json", "\"model_type\"", "\"model_type\"");  // rewritten, the same
  fs::rename(root() / "models/a", root() / "models/c");
  EXPECT_EQ(changed({"pair.p.sender=c"}), "====");
}

TEST_F(KeyTest, AByteOfTheWeightsChangesIt) {
  const fs::path weights = root() / "models/b/model.safetensors";
  std::fstream file(weights, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(fs::file_size(weights)) - 1);
  file.put('\x7f');
  file.close();
  EXPECT_EQ(changed({}), "xxxx");
}

TEST_F(KeyTest, TheTokenizerAndTheChatTemplateChangeIt) {
  const fs::path config = root() / "models/b/tokenizer_config.json";
  edit(config, " -- ", " == ");
  EXPECT_EQ(changed({}), "xxxx");
  edit(config, " == ", " -- ");
  EXPECT_EQ(changed({}), "====");
  edit(root() / "models/b/tokenizer.json", "\"normalizer\":{", "\"normalizer\": {");
  EXPECT_EQ(changed({}), "xxxx");
}

TEST_F(KeyTest, TheSendersTokenizerIsNotInUse) {
  edit(root() / "models/a/tokenizer_config.json", " -- ", " == ");
  EXPECT_EQ(changed({}), "====");
}

TEST_F(KeyTest, TheDataChangeIt) {
  write_data("boat");
  EXPECT_EQ(changed({}), "xxxx");
}

TEST_F(KeyTest, OnlyThePromptsOfACellChangeIt) {
  const auto with_prompts = [&](const std::string& baseline, const std::string& sender) {
    const fs::path file = root() / "prompts.toml";
    std::ofstream(file) << "[qa]\nbaseline = \"" << baseline << " {question}\"\nsender = \""
                        << sender << " {context}\"\nreceiver = \"{question}\"\n";
    return keys({"paths.prompts=" + file.string()});
  };
  const std::vector<std::string> first = with_prompts("A", "S");
  EXPECT_EQ(compare(first, with_prompts("B", "S")), "x===");
  EXPECT_EQ(compare(first, with_prompts("A", "T")), "=xxx");
}

TEST_F(KeyTest, RatioAlphaMuAndSigmaShareACalibration) {
  const auto calibration = [&](const std::vector<std::string>& sets) {
    return plan(sets).cells.at(1).calibration_key;
  };
  const std::string key = calibration({});
  EXPECT_NE(key, "");
  for (const char* set : {"ratio=0.25", "alpha=0.5", "mu=0.1", "sigma=2"}) {
    EXPECT_EQ(calibration({std::string("method.kvcomm.") + set}), key) << set;
  }
  EXPECT_EQ(calibration({"dataset.demo.max_new_tokens=3"}), key);
  EXPECT_NE(calibration({"method.kvcomm.calibration_samples=2"}), key);
  EXPECT_NE(calibration({"run.dtype=float32"}), key);
  for (const size_t other : {0, 2, 3}) EXPECT_EQ(plan().cells.at(other).calibration_key, "");
}

TEST_F(PlanTest, LimitsCountTheSamples) {
  EXPECT_EQ(plan().cells.at(0).samples, 4);
  EXPECT_EQ(plan({"run.limit=3"}).cells.at(0).samples, 3);
  EXPECT_EQ(plan({"run.limit=9"}).cells.at(0).samples, 4);
  EXPECT_EQ(plan({"run.limit=3", "method.random.limit=1"}).cells.at(2).samples, 1);
}

TEST_F(PlanTest, ModelsOfOtherShapesAreNoPair) {
  const fs::path config = root() / "models/a/config.json";
  edit(config, "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5");
  EXPECT_THAT(refusal(Exit::kUsage),
              AllOf(HasSubstr("Pair 'p'"), HasSubstr("5 layers"), HasSubstr("the receiver 4")));
  edit(config, "\"num_hidden_layers\": 5", "\"num_hidden_layers\": 4");
  edit(config, "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 1");
  EXPECT_THAT(refusal(Exit::kUsage), HasSubstr("1 KV heads, the receiver 2"));
}

TEST_F(PlanTest, AnEmbeddingWithoutARowForEveryIdIsRefused) {
  edit(root() / "models/a/config.json", "\"vocab_size\": 512", "\"vocab_size\": 300");
  EXPECT_THAT(
      refusal(Exit::kUsage),
      AllOf(HasSubstr("Pair 'p'"), HasSubstr("the sender's embedding"), HasSubstr("300 rows")));
}

TEST_F(PlanTest, WeightsThatAreNotWholeAreRefused) {
  const fs::path weights = root() / "models/a/model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) - 100);
  EXPECT_THAT(refusal(Exit::kEnvironment),
              AllOf(HasSubstr(weights.string()), HasSubstr("cut off")));
  fs::resize_file(weights, 40);
  EXPECT_THAT(refusal(Exit::kEnvironment),
              AllOf(HasSubstr(weights.string()), HasSubstr("cut off")));
  fs::remove(weights);
  EXPECT_THAT(refusal(Exit::kEnvironment),
              HasSubstr("No weights in '" + (root() / "models/a").string()));
}

TEST_F(PlanTest, WeightsThatAreNotTheConfigsAreRefused) {
  edit(root() / "models/a/config.json", "\"intermediate_size\": 48", "\"intermediate_size\": 50");
  EXPECT_THAT(refusal(Exit::kEnvironment), AllOf(HasSubstr("mlp.up_proj.weight"), HasSubstr("50")));
}

TEST_F(PlanTest, UnknownArchitecturesAreRefused) {
  edit(root() / "models/b/config.json", "LlamaForCausalLM", "OtherForCausalLM");
  EXPECT_THAT(refusal(Exit::kEnvironment), HasSubstr("OtherForCausalLM"));
}

TEST_F(PlanTest, LayersOutsideTheModelAreRefused) {
  EXPECT_THAT(refusal(Exit::kUsage, {"method.contiguous.to=4"}),
              AllOf(HasSubstr("4"), HasSubstr("3")));
}

TEST_F(PlanTest, PromptsThatAMethodNeedsMustBeThere) {
  const fs::path file = root() / "prompts.toml";
  std::ofstream(file) << "[qa]\nbaseline = \"{question}\"\nreceiver = \"{question}\"\n";
  EXPECT_THAT(refusal(Exit::kUsage, {"paths.prompts=" + file.string()}),
              AllOf(HasSubstr("prompts.toml"), HasSubstr("sender")));
}

TEST_F(PlanTest, FoldersMayBeNamedDirectly) {
  EXPECT_EQ(plan({"pair.p.sender=" + (root() / "models/b").string()}).pairs.at(0).sender,
            root() / "models/b");
  EXPECT_THAT(refusal(Exit::kEnvironment, {"pair.p.sender=nobody"}),
              AllOf(HasSubstr((root() / "models/nobody").string()), HasSubstr("paths.models")));
}

}  // namespace
}  // namespace kvcomm::testing
