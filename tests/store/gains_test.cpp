// Gains are differences of the same samples' scores, with a bootstrap's intervals.
#include "store/gains.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "tests/store/example.h"

namespace kvcomm {
namespace {

using namespace kvcomm::testing;

using Scores = std::vector<double>;

// One run whose cells have these scores, by sample from 0.
class Sweep {
 public:
  Sweep& cell(const CellRecord& record, const Scores& scores) {
    journal_.cells.push_back(record);
    for (uint32_t sample = 0; sample < scores.size(); ++sample) {
      row(example_row(record.key, sample, scores[sample]));
    }
    return *this;
  }

  Sweep& row(const SampleRow& row) {
    journal_.samples.push_back(row);
    return *this;
  }

  std::vector<Gain> gains(Keys keys = Keys::kNewest) const {
    return kvcomm::gains(Results(Journals{.runs = {journal_}, .faults = {}}, keys));
  }

 private:
  RunJournal journal_{.run = example_run("run")};
};

CellRecord baseline() {
  CellRecord cell = example_cell("b", "baseline", R"({"model":"receiver"})");
  cell.receiver_alone = true;
  return cell;
}
CellRecord matched() { return example_cell("m", "kvcomm(ratio=0.5)", R"({"ratio":0.5})"); }

CellRecord controlled(const std::string& control, int seed = 0) {
  return example_cell(control + std::to_string(seed), "kvcomm(ratio=0.5, control=" + control + ")",
                      R"({"control":")" + control + R"(","control_seed":)" + std::to_string(seed) +
                          R"(,"ratio":0.5})");
}

CellRecord with_dtype(CellRecord cell, const std::string& dtype) {
  cell.key += dtype;
  cell.key_json.replace(cell.key_json.find("float32"), 7, dtype);
  cell.dtype = dtype;
  return cell;
}

// "G kvcomm(ratio=0.5)", "P kvcomm(ratio=0.5) noise 3": what there is, in order.
std::vector<std::string> names(const std::vector<Gain>& gains) {
  std::vector<std::string> found;
  for (const Gain& gain : gains) {
    found.push_back(gain.kind + " " + gain.method);
    if (gain.kind == "P") found.back() += " " + gain.control;
    if (gain.control_seed != 0) found.back() += " " + std::to_string(gain.control_seed);
  }
  return found;
}

using Names = std::vector<std::string>;

TEST(GainsTest, ASystemGainsOverTheReceiverAlone) {
  const auto sender = example_cell("s", "baseline(model=sender)", R"({"model":"sender"})");
  const auto gains = Sweep()
                         .cell(sender, {1, 1, 1, 1})
                         .cell(matched(), {1, 0.5, 1, 0})
                         .cell(baseline(), {0, 1, 0, 0})
                         .gains();
  ASSERT_EQ(names(gains), (Names{"G baseline(model=sender)", "G kvcomm(ratio=0.5)"}));
  EXPECT_EQ(gains[1].pair, "smol");
  EXPECT_EQ(gains[1].dataset, "Länder");
  EXPECT_EQ(gains[1].control, "");
  EXPECT_EQ(gains[1].n, 4u);
  EXPECT_DOUBLE_EQ(gains[1].value, (1 - 0.5 + 1 + 0) / 4);
  EXPECT_LE(gains[1].low, gains[1].value);
  EXPECT_GE(gains[1].high, gains[1].value);
}

TEST(GainsTest, ContentGainsOverEachOfItsControls) {
  const auto other = example_cell("o", "kvcomm(ratio=0.7)", R"({"ratio":0.7})");
  const auto gains = Sweep()
                         .cell(controlled("noise", 3), {1, 0, 0})
                         .cell(controlled("zero"), {0, 0, 0})
                         .cell(matched(), {1, 1, 1})
                         .cell(other, {1, 1, 0})
                         .cell(controlled("deranged"), {0, 0, 1})
                         .gains();
  ASSERT_EQ(names(gains), (Names{"P kvcomm(ratio=0.5) deranged", "P kvcomm(ratio=0.5) noise 3",
                                 "P kvcomm(ratio=0.5) zero"}));
  EXPECT_DOUBLE_EQ(gains[0].value, 2.0 / 3);
  EXPECT_DOUBLE_EQ(gains[2].value, 1);
}

TEST(GainsTest, ControlsHaveAGainOfTheSystemToo) {
  const auto gains = Sweep()
                         .cell(baseline(), {0, 0})
                         .cell(matched(), {1, 1})
                         .cell(controlled("deranged"), {0, 1})
                         .gains();
  ASSERT_EQ(names(gains), (Names{"G kvcomm(ratio=0.5)", "P kvcomm(ratio=0.5) deranged",
                                 "G kvcomm(ratio=0.5, control=deranged)"}));
  EXPECT_EQ(gains[2].control, "deranged");
  EXPECT_DOUBLE_EQ(gains[2].value, 0.5);
}

TEST(GainsTest, EqualScoresGainNothing) {
  const Scores scores{0.1, 0.7, 0, 1, 0.3};
  const auto gains = Sweep().cell(matched(), scores).cell(controlled("deranged"), scores).gains();
  ASSERT_EQ(gains.size(), 1u);
  EXPECT_EQ(gains[0].value, 0);
  EXPECT_EQ(gains[0].low, 0);
  EXPECT_EQ(gains[0].high, 0);
}

TEST(GainsTest, WhatEverySampleGainsAlikeHasNoSpread) {
  Scores low, high;
  for (int i = 0; i < 100; ++i) {  // the scores themselves spread widely
    low.push_back(i % 4 * 0.25);
    high.push_back(low.back() + 0.125);
  }
  const auto gains = Sweep().cell(matched(), high).cell(controlled("deranged"), low).gains();
  EXPECT_EQ(gains.at(0).low, 0.125);
  EXPECT_EQ(gains.at(0).high, 0.125);
}

TEST(GainsTest, OnlySamplesOfBothCellsCount) {
  Sweep sweep;
  sweep.cell(baseline(), {}).cell(matched(), {});
  for (const uint32_t sample : {7, 1, 3, 4}) sweep.row(example_row("b", sample, 0.25));
  for (const uint32_t sample : {0, 3, 9, 7}) sweep.row(example_row("m", sample, sample == 7));
  const auto gains = sweep.gains();
  ASSERT_EQ(gains.size(), 1u);
  EXPECT_EQ(gains[0].n, 2u);  // 3 and 7
  EXPECT_DOUBLE_EQ(gains[0].value, (-0.25 + 0.75) / 2);
  EXPECT_EQ(gains[0].low, -0.25);
  EXPECT_EQ(gains[0].high, 0.75);
}

TEST(GainsTest, FailedSamplesCountZero) {
  const auto gains = Sweep()
                         .cell(baseline(), {1})
                         .cell(matched(), {1})
                         .row(failed(example_row("b", 1, 1)))
                         .row(failed(example_row("m", 2, 1)))
                         .row(example_row("m", 1, 0.5))
                         .row(example_row("b", 2, 0.25))
                         .gains();
  ASSERT_EQ(gains.size(), 1u);
  EXPECT_EQ(gains[0].n, 3u);
  EXPECT_DOUBLE_EQ(gains[0].value, (0 + 0.5 - 0.25) / 3);
}

TEST(GainsTest, OneSampleHasNoIntervalAndNoneNoGain) {
  const auto gains = Sweep()
                         .cell(baseline(), {0})
                         .cell(matched(), {1, 1})
                         .cell(example_cell("e", "skyline"), {})
                         .gains();
  ASSERT_EQ(names(gains), (Names{"G kvcomm(ratio=0.5)"}));
  EXPECT_EQ(gains[0].value, 1);
  EXPECT_TRUE(std::isnan(gains[0].low));
  EXPECT_TRUE(std::isnan(gains[0].high));
}

TEST(GainsTest, CellsOfAnotherPairOrDataSetAreNoPartners) {
  CellRecord other_pair = baseline(), other_data = controlled("deranged");
  other_pair.pair = "large";
  other_data.dataset = "Städte";
  EXPECT_TRUE(Sweep()
                  .cell(other_pair, {0, 0})
                  .cell(other_data, {0, 0})
                  .cell(matched(), {1, 1})
                  .gains()
                  .empty());
}

TEST(GainsTest, SettingsAreComparedWithTheirLike) {
  Sweep sweep;
  for (const char* dtype : {"float32", "bfloat16"}) {
    const double alone = dtype[0] == 'f' ? 0.25 : 0.5;
    sweep.cell(with_dtype(baseline(), dtype), {alone, alone})
        .cell(with_dtype(matched(), dtype), {1, 1})
        .cell(with_dtype(controlled("zero"), dtype), {alone, 0});
  }
  const auto gains = sweep.gains(Keys::kAll);
  ASSERT_EQ(gains.size(), 6u);
  for (const Gain& gain : gains) {
    const double alone = gain.variant.empty() ? 0.5 : 0.25;  // bfloat16 ran last
    const double under_zero = alone / 2;
    const double gained = gain.kind == "P"       ? 1 - under_zero
                          : gain.control.empty() ? 1 - alone
                                                 : under_zero - alone;
    EXPECT_DOUBLE_EQ(gain.value, gained) << gain.kind << gain.control << gain.variant;
  }
}

TEST(GainsTest, AMethodRunUnderOtherSettingsThanTheBaselineHasNoGain) {
  EXPECT_TRUE(Sweep()
                  .cell(with_dtype(baseline(), "bfloat16"), {0, 0})
                  .cell(matched(), {1, 1})
                  .gains()
                  .empty());
}

TEST(GainsTest, AKeyThatIsNoKeyHasNoPartners) {
  CellRecord torn = matched(), empty = controlled("zero");
  torn.key_json = "torn";
  empty.key_json = "{}";
  EXPECT_TRUE(
      Sweep().cell(baseline(), {0, 0}).cell(torn, {1, 1}).cell(empty, {1, 1}).gains().empty());
  EXPECT_EQ(control_name(torn), "");
  EXPECT_EQ(control_name(empty), "");
  EXPECT_EQ(control_name(matched()), "");
  EXPECT_EQ(control_name(controlled("noise", 2)), "noise");
}

// ---- the bootstrap

// Against a baseline that has no score: the differences are the scores.
Gain gain_of(const Scores& scores) {
  return Sweep().cell(baseline(), Scores(scores.size())).cell(matched(), scores).gains().at(0);
}

// The distribution of the bootstrap's sum itself, without draws: of n numbers, each any of the
// scores with equal probability. Scores are quarters from 0 to 1; [sum in quarters].
std::vector<double> sum_distribution(const Scores& scores) {
  std::vector<double> of_one(5);
  for (const double score : scores) {
    of_one[static_cast<size_t>(score * 4)] += 1.0 / static_cast<double>(scores.size());
  }
  std::vector<double> sums{1};
  for (size_t drawn = 0; drawn < scores.size(); ++drawn) {
    std::vector<double> next(sums.size() + 4);
    for (size_t sum = 0; sum < sums.size(); ++sum) {
      for (size_t more = 0; more < 5; ++more) next[sum + more] += sums[sum] * of_one[more];
    }
    sums = std::move(next);
  }
  return sums;
}

TEST(GainsTest, IntervalsAreThoseOfTheBootstrapsOwnDistribution) {
  // Five standard errors of a share of .025 in 10,000 draws.
  const double kError = 5 * std::sqrt(0.025 * 0.975 / 10'000);
  for (const size_t n : {7, 60, 301}) {
    Scores scores;
    for (size_t i = 0; i < n; ++i) {
      scores.push_back(i % 3 == 0 ? 1 : i % 7 == 0 ? 0.25 : i % 5 == 0 ? 0.75 : 0);
    }
    const Gain gain = gain_of(scores);
    const std::vector<double> sums = sum_distribution(scores);
    const auto below = [&](double mean, bool with_it) {
      const auto sum = static_cast<size_t>(std::lround(mean * static_cast<double>(4 * n)));
      double share = 0;
      for (size_t i = 0; i < sum + (with_it ? 1 : 0); ++i) share += sums[i];
      return share;
    };
    EXPECT_LT(below(gain.low, /*with_it=*/false), 0.025 + kError) << n;
    EXPECT_GT(below(gain.low, /*with_it=*/true), 0.025 - kError) << n;
    EXPECT_LT(below(gain.high, /*with_it=*/false), 0.975 + kError) << n;
    EXPECT_GT(below(gain.high, /*with_it=*/true), 0.975 - kError) << n;
  }
}

// The probability that a binomial variable is at most 20, 21, 38 and 39 is .016, .029, .966 and
// .979, so that .025 and .975 lie at 21 and 39.
TEST(GainsTest, ThirtyOfAHundredHaveTheBinomialsInterval) {
  Scores scores(100);
  for (size_t i = 0; i < 30; ++i) scores[i * 3] = 1;
  const Gain gain = gain_of(scores);
  EXPECT_DOUBLE_EQ(gain.value, 0.3);
  EXPECT_DOUBLE_EQ(gain.low, 0.21);
  EXPECT_DOUBLE_EQ(gain.high, 0.39);
}

TEST(GainsTest, AGainHasTheSameIntervalWhateverElseThereIs) {
  const Scores scores{0.1, 0.7, 0, 1, 0.3, 0.9, 0.2};
  const Gain alone = gain_of(scores);
  Sweep sweep;
  sweep.cell(baseline(), Scores(9));
  for (const size_t n : {9, 7, 3}) {
    sweep.cell(example_cell("k" + std::to_string(n), "skyline" + std::to_string(n)),
               Scores(n, 0.5));
  }
  const Gain among_others = sweep.cell(matched(), scores).gains().back();
  EXPECT_EQ(among_others.low, alone.low);
  EXPECT_EQ(among_others.high, alone.high);
}

// The numbers are those of a program in Python with a generator of its own.
TEST(GainsTest, AnotherMachineFindsTheSameInterval) {
  Scores scores;
  for (int i = 0; i < 40; ++i) scores.push_back((i * 37 % 64) / 64.0);  // sums without rounding
  const Gain gain = gain_of(scores);
  EXPECT_EQ(gain.low, 1040 / 64.0 / 40);
  EXPECT_EQ(gain.high, 1508 / 64.0 / 40);
}

}  // namespace
}  // namespace kvcomm
