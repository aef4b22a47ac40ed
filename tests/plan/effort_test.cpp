// Seconds from closed forms, and what stands in for what is absent.
#include "plan/effort.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/typical.h"
#include "tests/plan/plan_fixture.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Hardware kSlow{.flops_per_s = 1e6,
                         .bytes_per_s = 1e6,
                         .step_s = 0.5,
                         .load_bytes_per_s = 1e3,
                         .wire_bytes_per_s = 1e3};

class EffortTest : public PlanTest {
 protected:
  Effort effort(const Plan& planned) {
    TokenCounter counter(planned, Counting::kEstimated);
    return effort_of(planned, kSlow, counter);
  }
};

TEST_F(EffortTest, AContextIsWhatCellsShare) {
  const Plan planned = plan();  // baseline, kvcomm, random, contiguous
  const Effort of = effort(planned);
  EXPECT_EQ(of.cells[0][0].context, 0);
  EXPECT_GT(of.cells[1][0].context, 0);
  EXPECT_EQ(of.cells[1][0].context, of.cells[2][0].context);
  EXPECT_GT(of.cells[1][0].wire, 0);
  EXPECT_EQ(of.cells[0][0].wire, 0);
  EXPECT_GT(of.load_s[0], 0);
}

TEST_F(EffortTest, ABatchsSamplesShareItsSteps) {
  const Plan planned = plan_of("\"skyline\"");
  const Effort of = effort(planned);
  const std::vector<uint32_t> samples{0, 1, 2};
  const ExchangeSeconds one = of.batch(planned.cells[0], std::span(samples).first(1));
  const ExchangeSeconds three = of.batch(planned.cells[0], samples);
  EXPECT_DOUBLE_EQ(three.answering, 3 * one.answering);
  EXPECT_DOUBLE_EQ(three.answering_steps, one.answering_steps);
  EXPECT_GE(one.answering_steps, 15 * 0.5);  // 16 tokens, the first of them read from the prompt
}

TEST_F(EffortTest, WithoutEffortASampleTakesASecond) {
  const Plan planned = plan();
  const std::vector<uint32_t> samples{0, 1, 2};
  EXPECT_DOUBLE_EQ(Effort().batch(planned.cells[0], samples).sum(), 3);
}

TEST_F(EffortTest, ReadingALongPromptTakesLonger) {
  const Plan baseline = plan_of("\"baseline\""), skyline = plan_of("\"skyline\"");
  EXPECT_GT(effort(skyline).cells[0][0].answering, effort(baseline).cells[0][0].answering);
}

TEST_F(EffortTest, WhatIsAbsentIsTypical) {
  dataset_ = "name = \"countries\"";
  absent_ = Absent::kNamed;
  methods_ = "[[method]]\nname = \"kvcomm\"\n";
  const fs::path file = root() / "sweep.toml";
  plan();  // writes the file
  edit(file, "sender = \"a\"", "sender = \"meta-llama/Llama-3.1-8B-Instruct\"");
  edit(file, "receiver = \"b\"", "receiver = \"Team-ACE/ToolACE-2-Llama-3.1-8B\"");
  Config config = load_config(file);
  EXPECT_THAT(supply_models(config, root() / "typical"),
              ElementsAre("meta-llama/Llama-3.1-8B-Instruct", "Team-ACE/ToolACE-2-Llama-3.1-8B"));
  Plan planned = make_plan(config, "cuda", Absent::kNamed, Hashing::kKnown);
  EXPECT_THAT(supply_samples(planned), ElementsAre("countries"));
  ASSERT_EQ(planned.cells.size(), 1U);
  EXPECT_EQ(planned.pairs[0].receiver.config.layers, 32);
  EXPECT_EQ(planned.datasets[0].samples.size(), 200U);
  EXPECT_NEAR(effort(planned).load_s[0], 8.03e9 * 2 / 1e3, 1e5);  // bfloat16
}

TEST_F(EffortTest, WhatNobodyKnowsIsRefused) {
  plan();
  edit(root() / "sweep.toml", "sender = \"a\"", "sender = \"org/unknown\"");
  Config config = load_config(root() / "sweep.toml");
  try {
    supply_models(config, root() / "typical");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'org/unknown' has no config.json"));
  }
}

}  // namespace
}  // namespace kvcomm::testing
