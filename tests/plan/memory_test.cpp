// How much memory a sweep takes, and how many samples fit.
#include "plan/memory.h"

#include <gmock/gmock.h>

#include "tests/plan/plan_fixture.h"

namespace kvcomm::testing {
namespace {

using ::testing::HasSubstr;

class MemoryTest : public PlanTest {
 protected:
  MemoryTest() { methods_ = "[[method]]\nname = \"skyline\"\n"; }

  // The batch that fits where so many times a rank's longest sample is free beside the rest.
  int64_t batch_with_room_for(double samples, const std::vector<std::string>& sets = {}) {
    Plan made = plan(sets);
    const RankMemory rank = memory_of(made, 0).all;
    const double usable = static_cast<double>(rank.with(0)) + samples * rank.sample;
    fit_batches(made, static_cast<int64_t>(usable / 0.85), /*alone=*/true);
    return made.pairs[0].batch;
  }
};

TEST_F(MemoryTest, AsManySamplesAsFitButNotMoreThanPay) {
  EXPECT_EQ(batch_with_room_for(2.5), 2);
  EXPECT_EQ(batch_with_room_for(0.5), 1);
  EXPECT_EQ(batch_with_room_for(1000), 16);
  EXPECT_EQ(batch_with_room_for(1000, {"run.batch=3"}), 3);
  EXPECT_EQ(batch_with_room_for(0.5, {"run.batch=3"}), 3);
}

TEST_F(MemoryTest, WhatDoesNotFitIsRefusedBeforeItIsLoaded) {
  Plan made = plan();
  const int64_t weights = memory_of(made, 0).all.weights;
  try {
    fit_batches(made, weights, /*alone=*/true);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kEnvironment);
    EXPECT_THAT(error.what(), HasSubstr("Pair 'p': weights of"));
    EXPECT_THAT(error.what(), HasSubstr("smallest rank"));
  }
}

TEST_F(MemoryTest, WeightsAreThoseOfTheConfigAndSharedByEqualEnds) {
  const PairMemory two = memory_of(plan(), 0);
  int64_t elements = 0;
  for (const ExpectedTensor& tensor : expected_tensors(load_model_config(root() / "models/a"))) {
    elements +=
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
  }
  EXPECT_EQ(two.sender.weights, 2 * elements);  // bfloat16
  EXPECT_EQ(memory_of(plan({"run.dtype=float32"}), 0).sender.weights, 4 * elements);
  EXPECT_EQ(two.all.weights, two.sender.weights + two.receiver.weights);
  const PairMemory one = memory_of(plan({"pair.p.receiver=a"}), 0);
  EXPECT_EQ(one.all.weights, one.sender.weights);
}

TEST_F(MemoryTest, ASampleGrowsWithItsContextAndAPassDoesNot) {
  const PairMemory before = memory_of(plan({"run.prefill_tokens=64"}), 0);
  write_data(std::string(300, 'x'));
  edit(root() / "demo.jsonl", "The ship.", std::string(30000, 'x'));
  const PairMemory after = memory_of(plan({"run.prefill_tokens=64"}), 0);
  constexpr int64_t kTokenBytes = 4 * 2 * 2 * 8 * 2;  // layers, K and V, heads, head size, bytes
  constexpr int64_t kMoreTokens = 30000 / 3 - 9 / 3;
  EXPECT_EQ(after.sender.sample - before.sender.sample, kMoreTokens * kTokenBytes);
  EXPECT_EQ(after.receiver.sample - before.receiver.sample, 2 * kMoreTokens * kTokenBytes);
  EXPECT_EQ(after.sender.pass, before.sender.pass);
  methods_ =
      "[[method]]\nname = \"skyline\"\nmodel = \"sender\"\n";  // reads the text beside the context
  const PairMemory twice = memory_of(plan({"run.prefill_tokens=64"}), 0);
  EXPECT_GT(twice.sender.sample - after.sender.sample, kMoreTokens * kTokenBytes);
  methods_ = "[[method]]\nname = \"kvcomm\"\ncontrol = \"deranged\"\n";  // another sample's too
  const PairMemory deranged = memory_of(plan({"run.prefill_tokens=64"}), 0);
  EXPECT_GT(deranged.sender.sample - after.sender.sample, kMoreTokens * kTokenBytes);
}

TEST_F(MemoryTest, ASampleThatCannotFitIsRefusedAndOneThatMayNotIsNot) {
  edit(root() / "demo.jsonl", "The ship.", std::string(300000, 'x'));
  Plan made = plan();
  const RankMemory few = memory_of(made, 0, Estimate::kLow).all;
  EXPECT_THROW(fit_batches(made, few.with(1) - 1, /*alone=*/true), Error);
  EXPECT_GT(memory_of(made, 0).all.with(1), few.with(1) + 1);
  fit_batches(made, few.with(1) + 1, /*alone=*/true);
  EXPECT_EQ(made.pairs[0].batch, 1);
}

}  // namespace
}  // namespace kvcomm::testing
