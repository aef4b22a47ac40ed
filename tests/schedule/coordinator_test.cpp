// The coordinator by itself: lanes that are done as soon as they are asked, without MPI or models.
#include "schedule/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "tests/plan/plan_fixture.h"

namespace kvcomm::testing {
namespace {

using ::testing::HasSubstr;

class InstantLanes : public LaneLink {
 public:
  explicit InstantLanes(int ranks) : ranks_(ranks) {}

  int ranks() const override { return ranks_; }
  void send(const Task& task, std::span<const int> to) override {
    for (const int rank : to) ++heard[rank];
    if (task.kind == Task::Kind::kStop) {
      for (const int rank : to) say({.kind = Report::Kind::kLast}, rank);
    }
    if (task.kind == Task::Kind::kLoad) {
      say({.kind = Report::Kind::kLoaded, .task = task.id}, to.back());
    }
    if (task.kind == Task::Kind::kRun && instead) return instead(task);
    if (task.kind == Task::Kind::kRun) run(task, to.back());
    if (task.kind == Task::Kind::kCalibrate) {
      Report report{.kind = Report::Kind::kCalibration, .task = task.id};
      if (calibrates) report.calibration.importance = {0.1, 0.4, 0.2, 0.3};
      say(report, to.back());
    }
  }
  bool sent() override { return true; }
  Seconds silent_s(int rank) const override { return silent.contains(rank) ? 1000 : 0; }
  std::optional<Report> poll() override {
    if (said_.empty()) return std::nullopt;
    std::optional<Report> report = std::move(said_.front());
    said_.pop_front();
    return report;
  }

  bool calibrates = true;
  std::function<void(const Task&)> instead;       // of answering a task
  std::set<std::pair<uint32_t, uint32_t>> fails;  // (sample, attempt)
  std::set<int> silent;                           // ranks that give no sign of life
  std::map<int, int> heard;                       // tasks of any kind, by rank
  std::vector<std::vector<int>> layers;           // that cells were told to share

  void say(Report report, int rank) {
    report.rank.rank = rank;
    said_.push_back(std::move(report));
  }
  void say_later() { said_.push_back(std::nullopt); }

 private:
  void run(const Task& task, int receiver) {
    say({.kind = Report::Kind::kBegun, .task = task.id}, receiver);
    for (const TaskCell& cell : task.cells) {
      Report report{.kind = Report::Kind::kRows, .task = task.id, .cell = cell.cell};
      for (const uint32_t sample : task.samples) {
        const bool failed = fails.contains({sample, task.attempt});
        report.rows.push_back({.sample = sample,
                               .attempt = task.attempt,
                               .answer = failed ? "" : "ship",
                               .failed = failed});
      }
      layers.push_back(cell.layers);
      say(report, receiver);
    }
  }

  int ranks_;
  std::deque<std::optional<Report>> said_;  // nothing: it comes later
};

class CoordinatorTest : public PlanTest {
 protected:
  Exit run(InstantLanes& lanes, const std::vector<LaneRanks>& ranks) {
    const Plan planned = plan({"run.output=\"" + (root() / "out").string() + "\""});
    CompletedIndex stored;
    {
      Journal journal(root() / "out", {.run_id = "run-" + std::to_string(++runs_)});
      std::vector<PairLock> locks;
      Coordinator coordinator(planned, stored, journal, locks, lanes, [] { return false; });
      code_ = coordinator.run(ranks, {true});
    }
    journals_ = read_journals(root() / "out");
    return code_;
  }

  int runs_ = 0;
  Exit code_ = Exit::kOk;
  Journals journals_;
};

TEST_F(CoordinatorTest, EveryRowOfEveryCellIsInTheJournalOnce) {
  InstantLanes lanes(4);
  EXPECT_EQ(run(lanes, {{{0}, 1}, {{2}, 3}}), Exit::kOk);
  const RunJournal& run = journals_.runs.front();
  std::map<std::string, int> rows;  // by key and sample
  for (const SampleRow& row : run.samples) ++rows[row.key + "/" + std::to_string(row.sample)];
  EXPECT_EQ(rows.size(), 4U * 4);  // samples; baseline, kvcomm, random, contiguous
  for (const auto& [row, count] : rows) EXPECT_EQ(count, 1) << row;
  EXPECT_EQ(run.calibrations.size(), 1U);
  EXPECT_EQ(run.ranks.size(), 4U);
  for (int rank = 0; rank < 4; ++rank) EXPECT_GT(lanes.heard[rank], 0) << rank;
}

TEST_F(CoordinatorTest, WhatFailsIsAskedOnceMore) {
  InstantLanes lanes(1);
  methods_ = "[[method]]\nname = \"baseline\"\n";
  lanes.fails = {{0, 1}, {2, 1}, {2, 2}};
  EXPECT_EQ(run(lanes, {{{}, 0}}), Exit::kSomeFailed);
  std::map<uint32_t, std::vector<bool>> failed;  // by sample, in order
  for (const SampleRow& row : journals_.runs.front().samples) {
    failed[row.sample].push_back(row.failed);
  }
  EXPECT_EQ(failed,
            (decltype(failed){{0, {true, false}}, {1, {false}}, {2, {true, true}}, {3, {false}}}));
}

TEST_F(CoordinatorTest, ACellWhoseCalibrationFailsKeepsItsSamplesAsFailed) {
  InstantLanes lanes(1);
  methods_ = "[[method]]\nname = \"kvcomm\"\n";
  lanes.calibrates = false;
  EXPECT_EQ(run(lanes, {{{}, 0}}), Exit::kSomeFailed);
  const RunJournal& run = journals_.runs.front();
  ASSERT_EQ(run.samples.size(), 4U);
  for (const SampleRow& row : run.samples) EXPECT_TRUE(row.failed);
  EXPECT_THAT(run.failures.back().what, HasSubstr("calibration failed"));
  EXPECT_TRUE(lanes.layers.empty());
}

// Its sender may be ahead of it: rows that the sender's model made end nothing.
TEST_F(CoordinatorTest, AfterAStopAReceiversBatchInHandIsWaitedFor) {
  methods_ =
      "[[method]]\nname = \"skyline\"\nmodel = \"sender\"\n[[method]]\nname = \"baseline\"\n";
  const Plan planned = plan({"run.output=\"" + (root() / "out").string() + "\""});
  InstantLanes lanes(2);
  bool stopped = false;
  lanes.instead = [&](const Task& task) {
    if (stopped) return;
    stopped = true;
    const auto rows = [&](size_t cell) {
      return Report{.task = task.id, .cell = task.cells.at(cell).cell, .rows = {{.sample = 0}}};
    };
    lanes.say({.kind = Report::Kind::kBegun, .task = task.id}, 1);
    lanes.say_later();
    lanes.say(rows(0), 0);
    for (int look = 0; look < 3; ++look) lanes.say_later();
    lanes.say(rows(1), 1);
  };
  CompletedIndex stored;
  Journal journal(root() / "out", {.run_id = "run"});
  std::vector<PairLock> locks;
  Coordinator coordinator(planned, stored, journal, locks, lanes, [&] { return stopped; });
  ASSERT_EQ(coordinator.run({{{0}, 1}}, {true}), Exit::kStopped);
  EXPECT_EQ(coordinator.finish_in_hand(), Exit::kStopped);
  EXPECT_EQ(read_journals(root() / "out").runs.front().samples.size(), 2U);
}

TEST_F(CoordinatorTest, ARankThatFallsSilentEndsTheJobWithWhatItsLaneHadInHand) {
  methods_ = "[[method]]\nname = \"baseline\"\n[[method]]\nname = \"skyline\"\n";
  const Plan planned = plan(
      {"run.output=\"" + (root() / "out").string() + "\"", "run.batch=1", "run.timeout_s=0.4"});
  InstantLanes lanes(4);
  lanes.instead = [&](const Task&) { lanes.silent = {3}; };
  CompletedIndex stored;
  Journal journal(root() / "out", {.run_id = "run"});
  std::vector<PairLock> locks;
  Coordinator coordinator(planned, stored, journal, locks, lanes, [] { return false; });
  try {
    coordinator.run({{{0}, 1}, {{2}, 3}}, {true});
    FAIL() << "it ended though nobody answered";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kEnvironment);
    EXPECT_THAT(error.what(), HasSubstr("Rank 3 (receiver of lane 1) gave no sign of life"));
    EXPECT_THAT(error.what(), HasSubstr("Its lane had 1 sample of demo by baseline and 1 more "
                                        "method (pair p), then 1 sample"));
    EXPECT_THAT(error.what(), HasSubstr("goes on from what is stored"));
  }
}

TEST_F(CoordinatorTest, LayersComeFromTheImportancesThatALaneMeasured) {
  InstantLanes lanes(1);
  methods_ = "[[method]]\nname = \"kvcomm\"\nratio = 0.5\nsigma = 100.0\n";
  EXPECT_EQ(run(lanes, {{{}, 0}}), Exit::kOk);
  ASSERT_FALSE(lanes.layers.empty());
  for (const std::vector<int>& layers : lanes.layers) EXPECT_EQ(layers, (std::vector<int>{1, 3}));
}

}  // namespace
}  // namespace kvcomm::testing
