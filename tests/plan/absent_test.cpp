// Plans of what is not all there: told in a sentence each, planned as far as the rest goes; and the
// tokens that a plan counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/tokens.h"
#include "tests/plan/plan_fixture.h"

namespace kvcomm::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AbsentTest : public PlanTest {
 protected:
  AbsentTest() { absent_ = Absent::kNamed; }

  void remove(const fs::path& file) { ASSERT_TRUE(fs::remove(root() / file)) << file; }

  static std::vector<std::string> keys(const Plan& plan) {
    std::vector<std::string> all;
    for (const Cell& cell : plan.cells) all.push_back(cell.key);
    return all;
  }

  // The sentence of the one thing that is absent; a run refuses the same.
  std::string sentence(Exit exit_of_run) {
    const Plan planned = plan();
    EXPECT_EQ(planned.absent.size(), 1u);
    absent_ = Absent::kRefused;
    EXPECT_NE(refusal(exit_of_run), "accepted");
    absent_ = Absent::kNamed;
    return planned.absent.empty() ? "" : planned.absent.front().sentence;
  }
};

TEST_F(AbsentTest, WithAllThereAPlanIsAsForARun) {
  const Plan named = plan();
  EXPECT_THAT(named.absent, IsEmpty());
  absent_ = Absent::kRefused;
  EXPECT_EQ(keys(named), keys(plan()));
}

TEST_F(AbsentTest, WithoutWeightsACellHasItsTokensAndNoKey) {
  remove("models/a/model.safetensors");
  EXPECT_EQ(sentence(Exit::kEnvironment),
            fmt::format("'{0}/models/a' has no weights: `launch/fetch/models.py a --to {0}/models` "
                        "fetches the model.",
                        root().string()));
  const Plan planned = plan();
  ASSERT_EQ(planned.cells.size(), 4u);
  EXPECT_THAT(keys(planned), Each(""));
  EXPECT_EQ(planned.cells[1].calibration_key, "");
  EXPECT_TRUE(TokenCounter(planned).count(planned.cells[1]).has_value());
}

TEST_F(AbsentTest, WeightsInAnotherFormAreNamed) {
  fs::rename(root() / "models/a/model.safetensors", root() / "models/a/pytorch_model.bin");
  EXPECT_THAT(sentence(Exit::kEnvironment),
              AllOf(HasSubstr("models/a' has no weights: `launch/fetch/models.py a --to "),
                    HasSubstr("It has 'pytorch_model.bin'"), HasSubstr("safe_serialization=True")));
}

TEST_F(AbsentTest, WeightsThatNobodyHashedAreUnknown) {
  hashing_ = Hashing::kKnown;
  const Plan unknown = plan();
  EXPECT_THAT(unknown.unhashed, ElementsAre(root() / "models/a", root() / "models/b"));
  EXPECT_THAT(unknown.absent, IsEmpty());
  EXPECT_THAT(keys(unknown), Each(""));
  hashing_ = Hashing::kAll;
  const std::vector<std::string> known = keys(plan());
  EXPECT_THAT(known, Each(::testing::Ne("")));
  hashing_ = Hashing::kKnown;
  EXPECT_EQ(keys(plan()), known);
  EXPECT_THAT(plan().unhashed, IsEmpty());
  const fs::path weights = root() / "models/b/model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) - 1);
  EXPECT_THAT(refusal(Exit::kEnvironment), HasSubstr("cut off"));  // headers are read always
}

TEST_F(AbsentTest, AShardThatIsNotThereYetIsAbsent) {
  fs::rename(root() / "models/b/model.safetensors", root() / "models/b/1.safetensors");
  std::ofstream(root() / "models/b/model.safetensors.index.json")
      << R"({"weight_map": {"x": "1.safetensors", "y": "2.safetensors"}})";
  EXPECT_THAT(sentence(Exit::kEnvironment), AllOf(HasSubstr("models/b' has no weights"),
                                                  ::testing::Not(HasSubstr("1.safetensors"))));
}

TEST_F(AbsentTest, TheReceiversTokenizerAndTemplateAreMissed) {
  remove("models/a/tokenizer.json");  // the sender's is not in use
  EXPECT_THAT(plan().absent, IsEmpty());
  remove("models/b/tokenizer.json");
  EXPECT_THAT(sentence(Exit::kEnvironment),
              HasSubstr("models/b' has no tokenizer.json: `launch/fetch/models.py b --to "));
  remove("models/b/tokenizer_config.json");
  EXPECT_THAT(sentence(Exit::kEnvironment), HasSubstr("no tokenizer.json, no chat template:"));
  const Plan planned = plan();
  ASSERT_EQ(planned.cells.size(), 4u);
  EXPECT_THAT(keys(planned), Each(""));
  const auto tokens = TokenCounter(planned).count(planned.cells[0]);
  ASSERT_TRUE(tokens.has_value());
  EXPECT_TRUE(tokens->estimated);
}

TEST_F(AbsentTest, WithoutConfigTheModelsPairsAreLeftOut) {
  remove("models/b/config.json");
  EXPECT_THAT(sentence(Exit::kEnvironment),
              AllOf(HasSubstr("models/b' has no config.json, and its pairs are left out"),
                    HasSubstr("`launch/fetch/models.py b --to ")));
  EXPECT_THAT(plan().cells, IsEmpty());
  methods_ += "[[pair]]\nname = \"q\"\nsender = \"a\"\nreceiver = \"a\"\n";
  const Plan planned = plan();
  EXPECT_EQ(planned.cells.size(), 4u);
  for (const Cell& cell : planned.cells) EXPECT_EQ(cell.pair, 1u);
  EXPECT_THAT(keys(planned), Each(::testing::Ne("")));
}

TEST_F(AbsentTest, WhatIsThereIsCheckedAllTheSame) {
  remove("models/a/model.safetensors");
  edit(root() / "models/a/config.json", "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5");
  EXPECT_THAT(refusal(Exit::kUsage), AllOf(HasSubstr("kvcomm(ratio=0.5) for pair 'p': "),
                                           HasSubstr("the sender has 5 layers, the receiver 4")));
  edit(root() / "models/a/config.json", "LlamaForCausalLM", "OtherForCausalLM");
  EXPECT_THAT(refusal(Exit::kEnvironment), HasSubstr("OtherForCausalLM"));
}

TEST_F(AbsentTest, ADataSetWithoutAFileCountsAsPublished) {
  methods_ += "[[dataset]]\nname = \"hotpotqa\"\n";
  EXPECT_EQ(sentence(Exit::kUsage),
            fmt::format("The data set 'hotpotqa' is not in '{0}': `launch/fetch/data.py hotpotqa "
                        "--to {0}` fetches it.",
                        root().string()));
  const Plan planned = plan({"method.random.limit=7"});
  ASSERT_EQ(planned.cells.size(), 8u);
  EXPECT_EQ(planned.cells[4].samples, 500);
  EXPECT_EQ(planned.cells[6].samples, 7);
  EXPECT_EQ(planned.cells[4].key, "");
  EXPECT_NE(planned.cells[0].key, "");
  EXPECT_FALSE(TokenCounter(planned).count(planned.cells[4]).has_value());
}

TEST_F(AbsentTest, AFileThatIsNamedMustBeThere) {
  EXPECT_THAT(refusal(Exit::kUsage, {"dataset.demo.path=nowhere.jsonl"}),
              HasSubstr("nowhere.jsonl"));
}

// ---- tokens

// One token a byte here but for what the tokenizer merges: what is told is what the prompt_builder
// makes.
TEST_F(AbsentTest, TokensAreThoseOfThePrompts) {
  methods_ += "[[method]]\nname = \"skyline\"\n[[method]]\nname = \"nld\"\n";
  const Plan planned = plan({"method.contiguous.limit=1"});
  const PromptBuilder prompt_builder =
      make_prompt_builder(planned.config, planned.config.pairs[0], planned.datasets[0].info,
                          load_text(planned.pairs[0].receiver.folder));
  const Sample& sample = planned.datasets[0].samples[0];  // all four are alike
  TokenCounter counter(planned);
  const auto expect = [&](size_t cell, int64_t context, std::optional<int64_t> prompt) {
    const std::optional<CellTokens> tokens = counter.count(planned.cells.at(cell));
    ASSERT_TRUE(tokens.has_value());
    EXPECT_EQ(tokens->context, context) << cell;
    EXPECT_EQ(tokens->prompt, prompt) << cell;
    EXPECT_EQ(tokens->too_long, 0);
  };
  const int64_t context = std::ssize(prompt_builder.sender(sample, 0));
  const int64_t question = std::ssize(prompt_builder.receiver(sample));
  expect(3, context, question);  // the one sample first, then all
  expect(0, 0, 4 * std::ssize(prompt_builder.baseline(sample, End::kReceiver)));
  expect(1, 4 * context, 4 * question);
  expect(4, 0, 4 * std::ssize(prompt_builder.skyline(sample, End::kReceiver)));
  expect(5, 4 * std::ssize(prompt_builder.sender(sample, 0, Reading::kSummarise)), std::nullopt);
}

TEST_F(AbsentTest, SamplesThatDoNotFitAreToldAndNotCounted) {
  const Plan whole = plan();
  const int64_t prompt = *TokenCounter(whole).count(whole.cells[0])->prompt;
  std::ofstream(root() / "demo.jsonl", std::ios::app)
      << R"({"id": "long", "context": ")" << std::string(400, '7')
      << R"(", "question": "What?", "answers": ["7"]})";
  const Plan cut = plan({"run.max_input_tokens=200"});
  TokenCounter counter(cut);
  EXPECT_EQ(counter.count(cut.cells[0])->too_long, 0);
  EXPECT_EQ(counter.count(cut.cells[0])->prompt, prompt / 4 * 5);
  EXPECT_EQ(counter.count(cut.cells[1])->too_long, 1);
  EXPECT_EQ(counter.count(cut.cells[1])->context,
            TokenCounter(whole).count(whole.cells[1])->context);
}

}  // namespace
}  // namespace kvcomm::testing
