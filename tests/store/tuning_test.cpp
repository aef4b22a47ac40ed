// A choice is made by some samples and scored on others, beside its rivals.
#include "store/tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "store/studies.h"
#include "tests/store/example.h"

namespace kvcomm {
namespace {

using namespace kvcomm::testing;
using ::testing::HasSubstr;

using Scores = std::vector<double>;

CellRecord sending(CellRecord cell, size_t layers) {
  for (int32_t layer = 0; layer < 6; ++layer) {
    cell.layers.push_back({.layer = layer, .selected = layer < static_cast<int32_t>(layers)});
  }
  return cell;
}

CellRecord setting(const std::string& key, const std::string& set, size_t layers = 2,
                   const std::string& more = "") {
  return sending(example_cell(key, "kvcomm(" + set + ")",
                              R"({"alpha":1.0,"layers":null,"calibration_samples":1)" + more + "}"),
                 layers);
}

class TuningTest : public ::testing::Test {
 protected:
  void cell(const CellRecord& record, const Scores& scores) {
    journal_.cells.push_back(record);
    for (uint32_t sample = 0; sample < scores.size(); ++sample) {
      journal_.samples.push_back(example_row(record.key, sample, scores[sample]));
      journal_.samples.back().layers_sent = static_cast<uint64_t>(
          std::ranges::count(record.layers, true, &LayerRow::selected) + always_sent_);
    }
  }

  // Of two layers: drawn ones that never answer, and two windows.
  void rivals(size_t samples = 8, size_t layers = 2, const std::string& prefix = "") {
    const auto random = [&](const std::string& seed) {
      return sending(
          example_cell(prefix + "r" + seed, "random(ratio=0.3, seed=" + seed + ")" + prefix,
                       R"({"ratio":0.3,"seed":)" + seed + "}"),
          layers);
    };
    const auto window = [&](const std::string& from) {
      return sending(example_cell(prefix + "c" + from, "contiguous(from=" + from + ")" + prefix,
                                  R"({"from":)" + from + R"(,"to":9})"),
                     layers);
    };
    Scores low(samples, 0), high(samples, 0);
    high[0] = 1;  // the first sample alone: seen by the choice
    low[samples - 1] = 1;
    cell(random("0"), Scores(samples, 0));
    cell(random("1"), Scores(samples, 1));
    cell(window("0"), low);
    cell(window("1"), high);
  }

  std::vector<Tuned> tune(uint32_t choose_by = 0) const {
    return kvcomm::tune(Results(Journals{.runs = {journal_}, .faults = {}}),
                        {.choose_by = choose_by});
  }

  void expect_refused(const std::string& what, uint32_t choose_by = 0) const {
    try {
      tune(choose_by);
      FAIL() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kUsage);
      EXPECT_THAT(error.what(), HasSubstr(what));
    }
  }

  RunJournal journal_{.run = example_run("run")};
  int64_t always_sent_ = 0;  // layers that are sent beside the chosen ones
};

// What is best on the second half is not chosen: it was worse on the first.
TEST_F(TuningTest, TheFirstSamplesChooseAndTheOthersScore) {
  cell(setting("u", "ratio=0.3"), {0, 0, 0, 1, 0, 1, 1, 0});
  cell(setting("a", "ratio=0.3, alpha=0.5"), {1, 1, 0, 0, 1, 1, 0, 0});
  cell(setting("b", "ratio=0.3, mu=0.7"), {0, 0, 0, 0, 1, 1, 1, 1});
  rivals();
  const std::vector<Tuned> choices = tune();
  ASSERT_EQ(choices.size(), 1u);
  const Tuned& choice = choices.front();
  EXPECT_EQ(choice.chosen, "kvcomm(ratio=0.3, alpha=0.5)");
  EXPECT_EQ(choice.settings, 3u);
  EXPECT_EQ(choice.layers, 2u);
  EXPECT_EQ(choice.seen, 4u);
  EXPECT_EQ(choice.n, 4u);
  EXPECT_DOUBLE_EQ(choice.seen_score, 0.5);
  EXPECT_DOUBLE_EQ(choice.score, 0.5);
  EXPECT_EQ(choice.untuned.method, "kvcomm(ratio=0.3)");
  EXPECT_DOUBLE_EQ(choice.untuned.gain, 0);
  EXPECT_LE(choice.untuned.interval.low, 0);
  EXPECT_GE(choice.untuned.interval.high, 0);
  EXPECT_DOUBLE_EQ(choice.random.score, 0.5);  // the mean of two draws
  EXPECT_EQ(choice.contiguous.method, "contiguous(from=1)") << "chosen by the same samples";
  EXPECT_DOUBLE_EQ(choice.contiguous.score, 0);
  EXPECT_DOUBLE_EQ(choice.contiguous.gain, 0.5);
}

TEST_F(TuningTest, TheSplitMayBeSaid) {
  cell(setting("u", "ratio=0.3"), {0, 0, 1, 1, 1, 1});
  cell(setting("a", "ratio=0.3, alpha=0.5"), {1, 1, 0, 0, 0, 0});
  rivals(6);
  EXPECT_EQ(tune(2).front().chosen, "kvcomm(ratio=0.3, alpha=0.5)");
  EXPECT_EQ(tune(4).front().chosen, "kvcomm(ratio=0.3)") << "of equals the first";
  EXPECT_DOUBLE_EQ(tune(2).front().untuned.gain, -1);
  expect_refused("1 samples would choose", 1);
  expect_refused("0 others score", 9);
}

TEST_F(TuningTest, AmongNumbersOfLayersTheFewestThatAreAsGoodAreMarked) {
  const Scores good{1, 1, 0, 1, 1, 1, 1, 1}, better{1, 1, 1, 1, 1, 1, 1, 1},
      bad{0, 0, 0, 0, 1, 1, 1, 1};
  for (const auto& [layers, scores] : {std::pair(size_t{1}, bad), {2, good}, {4, good}}) {
    const std::string ratio = "ratio=0." + std::to_string(layers);
    cell(setting("u" + ratio, ratio, layers), scores);
    cell(setting("a" + ratio, ratio + ", alpha=0.5", layers), scores);
    rivals(8, layers, ratio);
  }
  const std::vector<Tuned> choices = tune();
  ASSERT_EQ(choices.size(), 3u);
  EXPECT_FALSE(choices[0].is_smallest);
  EXPECT_TRUE(choices[1].is_smallest);
  EXPECT_FALSE(choices[2].is_smallest);
}

// Layers that are sent whatever is chosen cost bytes as the others do.
TEST_F(TuningTest, RivalsSendAsManyLayers) {
  cell(setting("u", "ratio=0.3"), Scores(8, 1));
  cell(setting("a", "ratio=0.3, alpha=0.5"), Scores(8, 1));
  always_sent_ = 1;
  rivals();
  expect_refused("no random layers");
  rivals(8, 1, "one");
  EXPECT_EQ(tune().front().layers, 2u);
}

TEST_F(TuningTest, WhatIsNoSettingIsNotChosenAmong) {
  cell(setting("u", "ratio=0.3"), Scores(8, 1));
  cell(setting("s", "ratio=0.3, x", 2, R"(,"calibration":"held_out")"), Scores(8, 1));
  rivals();
  expect_refused("nothing to choose from");
  cell(setting("a", "ratio=0.3, mu=0.1"), Scores(8, 1));
  EXPECT_EQ(tune().front().settings, 2u);
  EXPECT_EQ(tune().front().choices, 1u) << "both send the same layers";
}

TEST_F(TuningTest, NoSampleScoresThatMeasuredImportances) {
  for (const char* set : {"ratio=0.3", "ratio=0.3, alpha=0.5"}) {
    CellRecord seen = setting(set, set);
    const std::string one = R"("calibration_samples":1)";
    seen.key_json.replace(seen.key_json.find(one), one.size(), R"("calibration_samples":6)");
    cell(seen, Scores(8, 1));
  }
  rivals();
  expect_refused("measured its importances on the first 6 samples");
  EXPECT_EQ(tune(6).front().n, 2u);
}

TEST_F(TuningTest, FailedRowsAreTold) {
  cell(setting("u", "ratio=0.3"), Scores(8, 1));
  cell(setting("a", "ratio=0.3, alpha=0.5"), Scores(8, 1));
  journal_.samples.back() = failed(journal_.samples.back());
  rivals();
  EXPECT_EQ(tune().front().failed, 1u);
}

TEST_F(TuningTest, WithoutRivalsThereIsNoChoice) {
  expect_refused("nothing to choose from");
  cell(setting("u", "ratio=0.3"), Scores(8, 1));
  expect_refused("nothing to choose from");
  cell(setting("a", "ratio=0.3, alpha=0.5"), Scores(8, 1));
  expect_refused("random");
  rivals(8, 3);
  expect_refused("no random layers");
}

TEST_F(TuningTest, WhatNoOneTunedMustBeThere) {
  cell(setting("a", "ratio=0.3, alpha=0.5"), Scores(8, 1));
  cell(setting("b", "ratio=0.3, alpha=0.7"), Scores(8, 1));
  rivals();
  expect_refused("no cell that leaves alpha, mu and sigma to their defaults");
}

// ---- /studies

TEST(Studies, AreTheCellsThatVaryAParameter) {
  RunJournal journal{.run = example_run("run")};
  CellRecord map = example_cell("m", "contiguous(from=2, to=5)"), line = example_cell("l", "nld");
  map.axes = {"to", "from"};
  map.place = {5, 2};
  map.series = "contiguous";
  line.axes = {"phase1_tokens"};
  line.place = {64};
  line.series = "nld";
  journal.cells = {example_cell("b", "baseline"), map, line};
  journal.samples = {example_row("m", 0, 1), example_row("m", 1, 0), example_row("l", 0, 0.5)};
  const Results results(Journals{.runs = {journal}, .faults = {}});
  const Table table = studies_table(results);
  ASSERT_EQ(table.rows, 2u);
  const auto find = [&]<typename T>(const char* name, T) {
    for (const Column& column : table.columns) {
      if (column.name == name) return std::get<std::vector<T>>(column.values);
    }
    return std::vector<T>{};
  };
  EXPECT_EQ(find("series", std::string()), (std::vector<std::string>{"contiguous", "nld"}));
  EXPECT_EQ(find("x_name", std::string()), (std::vector<std::string>{"to", "phase1_tokens"}));
  EXPECT_EQ(find("y_name", std::string()), (std::vector<std::string>{"from", ""}));
  EXPECT_EQ(find("x", 0.0), (Scores{5, 64}));
  EXPECT_EQ(find("y", 0.0)[0], 2);
  EXPECT_TRUE(std::isnan(find("y", 0.0)[1]));
  EXPECT_EQ(find("score", 0.0), (Scores{0.5, 0.5}));
  EXPECT_EQ(find("n", uint64_t{}), (std::vector<uint64_t>{2, 1}));
}

}  // namespace
}  // namespace kvcomm
