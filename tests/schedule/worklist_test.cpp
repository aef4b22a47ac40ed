// Who gets which work, and what becomes of what fails: the coordinator's bookkeeping alone.
#include "schedule/worklist.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kLayers = 4;

MethodSpec spec(const char* name,
                const nlohmann::ordered_json& set = nlohmann::ordered_json::object()) {
  return make_method_spec(*find_method(name), set, 42);
}

// A sweep of some pairs with one data set, each cell's key being "<pair>/<label>".
class WorklistTest : public ::testing::Test {
 protected:
  void make_plan(size_t pairs, int64_t samples, std::vector<MethodSpec> methods) {
    plan_.fidelity = Fidelity::paper();
    plan_.datasets.resize(1);
    plan_.datasets[0].fingerprint = "f";
    plan_.datasets[0].samples.resize(static_cast<size_t>(samples));
    for (size_t pair = 0; pair < pairs; ++pair) {
      PlannedPair& planned = plan_.pairs.emplace_back();
      planned.receiver.config.layers = kLayers;
      planned.batch = 4;
      plan_.config.pairs.push_back({.name = std::to_string(pair)});
      for (size_t method = 0; method < methods.size(); ++method) {
        const MethodSpec& of_cell = methods[method];
        Cell cell{.id = static_cast<uint32_t>(plan_.cells.size()),
                  .pair = pair,
                  .method = method,
                  .spec = of_cell,
                  .samples = samples,
                  .key = std::to_string(pair) + "/" + of_cell.label()};
        cell.recalibrate_every = of_cell.resolved.value("recalibrate_every", 0);
        if (needs_calibration(of_cell)) {
          cell.calibration_samples = of_cell.resolved.at("calibration_samples");
          cell.calibration_key =
              std::to_string(pair) + "/c" + std::to_string(cell.calibration_samples);
        }
        plan_.cells.push_back(cell);
      }
    }
  }

  Worklist worklist() { return {plan_, stored_, std::vector<bool>(plan_.pairs.size(), true)}; }

  // Reports a task's rows; `fails` says which.
  template <typename Fails>
  void answer(Worklist& work, const Task& task, Fails&& fails) {
    for (const TaskCell& cell : task.cells) {
      Report report{.task = task.id, .cell = cell.cell};
      for (const uint32_t sample : task.samples) {
        report.rows.push_back({.key = plan_.cells[cell.cell].key,
                               .sample = sample,
                               .attempt = task.attempt,
                               .failed = fails(sample, cell.cell)});
        stored_.add(report.rows.back());
      }
      work.take_rows(report);
    }
  }
  void answer(Worklist& work, const Task& task) {
    answer(work, task, [](uint32_t, uint32_t) { return false; });
  }

  std::vector<const Cell*> calibrate(Worklist& work, const Task& task, bool works = true) {
    Report report{.kind = Report::Kind::kCalibration, .task = task.id};
    if (works) {
      report.calibration = {.key = task.calibration_key, .importance = {0.1, 0.4, 0.2, 0.3}};
      stored_.add(report.calibration);
    }
    return work.take_calibration(report);
  }

  // Answers all that comes; the cells of each task in turn.
  std::vector<std::vector<uint32_t>> run_to_the_end(Worklist& work) {
    std::vector<std::vector<uint32_t>> tasks;
    while (const auto task = work.next(0)) {
      tasks.emplace_back();
      for (const TaskCell& cell : task->cells) tasks.back().push_back(cell.cell);
      if (task->kind == Task::Kind::kCalibrate) {
        calibrate(work, *task);
      } else {
        answer(work, *task);
      }
    }
    return tasks;
  }

  static bool needs_calibration(const MethodSpec& of_cell) {
    return of_cell.name == "kvcomm" && of_cell.resolved.at("recalibrate_every") == 0;
  }

  Plan plan_;
  CompletedIndex stored_;
};

TEST_F(WorklistTest, ACellThatRecalibratesIsATaskForEachChoice) {
  make_plan(1, 6, {spec("baseline"), spec("kvcomm", {{"recalibrate_every", 4}})});
  Worklist work = worklist();
  EXPECT_EQ(work.rows_left(), 12u);
  EXPECT_EQ(work.next(0)->cells.front().cell, 0u);
  EXPECT_EQ(work.next(0)->cells.front().cell, 0u);
  const Task first = work.next(0).value(), second = work.next(1).value();
  EXPECT_EQ(first.kind, Task::Kind::kOnline);
  EXPECT_EQ(first.samples, (std::vector<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(first.chosen_by, 0u);
  EXPECT_EQ(first.batch, 4);
  EXPECT_EQ(second.samples, (std::vector<uint32_t>{4, 5}));
  EXPECT_EQ(second.chosen_by, 4u);
  EXPECT_FALSE(work.next(0));
  EXPECT_EQ(work.choice(plan_.cells[1]), nullptr);
}

TEST_F(WorklistTest, WhatIsLeftOfAChoiceGoesOnWithItsLayers) {
  make_plan(1, 6, {spec("kvcomm", {{"recalibrate_every", 4}})});
  const std::string key = plan_.cells[0].key;
  stored_.add(RecalibrationRecord{.key = key, .sample = 0, .layers = {1, 2}});
  stored_.add(SampleRow{.key = key, .sample = 0});
  stored_.add(SampleRow{.key = key, .sample = 2});
  Worklist work = worklist();
  const Task rest = work.next(0).value();
  EXPECT_EQ(rest.kind, Task::Kind::kRun);
  EXPECT_EQ(rest.samples, (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(rest.cells.front().layers, (std::vector<int>{1, 2}));
  EXPECT_EQ(work.next(0)->kind, Task::Kind::kOnline);
}

TEST_F(WorklistTest, SamplesThatFailedGoOutAgainUnderOneChoice) {
  make_plan(1, 3, {spec("kvcomm", {{"recalibrate_every", 3}})});
  Worklist work = worklist();
  answer(work, work.next(0).value(), [](uint32_t sample, uint32_t) { return sample != 1; });
  const Task again = work.next(0).value();
  EXPECT_EQ(again.kind, Task::Kind::kOnline);  // its choice never came
  EXPECT_EQ(again.samples, (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(again.attempt, 2u);
  EXPECT_EQ(again.batch, 1);
  answer(work, again);
  EXPECT_TRUE(work.finished());
}

TEST_F(WorklistTest, ABatchOfSamplesGoesOutForAllCellsTogether) {
  make_plan(1, 6, {spec("baseline"), spec("random")});
  Worklist work = worklist();
  EXPECT_EQ(work.rows_left(), 12u);
  const Task first = work.next(0).value(), second = work.next(0).value();
  EXPECT_EQ(first.kind, Task::Kind::kRun);
  EXPECT_EQ(first.attempt, 1u);
  EXPECT_EQ(first.batch, 4);
  EXPECT_EQ(first.dataset_fingerprint, "f");
  EXPECT_THAT(first.samples, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(second.samples, ElementsAre(4, 5));
  ASSERT_EQ(first.cells.size(), 2u);
  EXPECT_THAT(first.cells[0].layers, IsEmpty());
  EXPECT_EQ(first.cells[1].layers, work.choice(plan_.cells[1])->layers());
  EXPECT_EQ(work.next(0), std::nullopt);
  EXPECT_FALSE(work.finished());
  answer(work, first);
  EXPECT_FALSE(work.has(first.id));
  EXPECT_FALSE(work.finished());
  answer(work, second);
  EXPECT_TRUE(work.finished());
  EXPECT_EQ(work.rows_left(), 0u);
}

TEST_F(WorklistTest, CalibrationComesFirstAndOnce) {
  make_plan(1, 8,
            {spec("kvcomm"), spec("kvcomm", {{"ratio", 0.25}}),
             spec("kvcomm", {{"calibration_samples", 3}}), spec("baseline")});
  Worklist work = worklist();
  const Task one = work.next(0).value(), three = work.next(1).value();
  EXPECT_EQ(one.kind, Task::Kind::kCalibrate);
  EXPECT_EQ(three.kind, Task::Kind::kCalibrate);
  EXPECT_THAT(one.samples, ElementsAre(0));
  EXPECT_THAT(three.samples, ElementsAre(0, 1, 2));
  const Task load = work.next(2).value();  // meanwhile
  EXPECT_EQ(load.kind, Task::Kind::kLoad);
  EXPECT_EQ(work.next(2), std::nullopt);
  work.take_loaded({.kind = Report::Kind::kLoaded, .task = load.id});
  EXPECT_FALSE(work.has(load.id));
  EXPECT_FALSE(work.finished());
  EXPECT_EQ(work.choice(plan_.cells[1]), nullptr);
  EXPECT_THAT(calibrate(work, one), IsEmpty());
  EXPECT_EQ(work.next(2), std::nullopt);
  EXPECT_THAT(calibrate(work, three), IsEmpty());
  EXPECT_THAT(work.choice(plan_.cells[1])->layers(), ElementsAre(1));
  EXPECT_EQ(run_to_the_end(work), (std::vector<std::vector<uint32_t>>{{0, 1, 2, 3}, {0, 1, 2, 3}}));
  EXPECT_TRUE(work.finished());
}

// A layer curve: the cells of one entry in the configuration, which is the lane's for all of them.
TEST_F(WorklistTest, CellsOfOneEntryHaveLayersOfTheirOwn) {
  make_plan(1, 2, expand_layers(spec("kvcomm", {{"layer_counts", "all"}}), kLayers));
  for (Cell& cell : plan_.cells) cell.method = 0;
  Worklist work = worklist();
  const Task calibration = work.next(0).value();
  EXPECT_EQ(calibration.kind, Task::Kind::kCalibrate);
  EXPECT_EQ(work.next(0), std::nullopt);  // one for all of them
  calibrate(work, calibration);
  const Task task = work.next(0).value();
  ASSERT_EQ(task.cells.size(), 4u);
  const std::vector<std::vector<int>> layers{{1}, {1, 3}, {1, 2, 3}, {0, 1, 2, 3}};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(task.cells[i].spec.resolved.at("layer_count"), i + 1);
    EXPECT_EQ(task.cells[i].layers, layers[i]);
  }
}

TEST_F(WorklistTest, AStoredCalibrationIsNotRepeated) {
  make_plan(1, 2, {spec("kvcomm", {{"ratio", 0.25}})});
  stored_.add(CalibrationRecord{.key = "0/c1", .importance = {0, 0, 1, 0}});
  Worklist work = worklist();
  const Task task = work.next(0).value();
  EXPECT_EQ(task.kind, Task::Kind::kRun);
  EXPECT_THAT(task.cells.at(0).layers, ElementsAre(2));
}

TEST_F(WorklistTest, HeldOutSamplesCalibrateAndAreNotAnswered) {
  make_plan(1, 3, {spec("kvcomm", {{"calibration_samples", 2}})});
  plan_.cells[0].samples = 1;
  plan_.cells[0].calibration_from = 1;
  Worklist work = worklist();
  const Task task = work.next(0).value();
  EXPECT_THAT(task.samples, ElementsAre(1, 2));
  calibrate(work, task);
  EXPECT_THAT(work.next(0).value().samples, ElementsAre(0));
  EXPECT_FALSE(work.next(0));
}

TEST_F(WorklistTest, ALaneStaysWithItsPair) {
  make_plan(2, 8, {spec("baseline")});
  Worklist work = worklist();
  EXPECT_EQ(work.next(0)->pair, 0u);
  EXPECT_EQ(work.next(1)->pair, 1u);  // the pair that fewest lanes serve
  EXPECT_EQ(work.next(1)->pair, 1u);
  EXPECT_EQ(work.next(1)->pair, 0u);  // its own has no more work
  EXPECT_EQ(work.next(0), std::nullopt);
}

// Of the cell's samples each takes so long; what ends generate is the same for any number of them.
std::vector<ExchangeSeconds> each(size_t samples, ExchangeSeconds seconds) {
  return std::vector<ExchangeSeconds>(samples, seconds);
}

TEST_F(WorklistTest, WhatTakesLongestGoesFirst) {
  make_plan(1, 8, {spec("baseline")});
  Effort effort{.cells = {each(8, {.answering = 1})}, .load_s = {}};
  for (size_t sample = 4; sample < 8; ++sample) effort.cells[0][sample].answering = 3;
  Worklist work(plan_, stored_, {true}, effort);
  EXPECT_THAT(work.next(0)->samples, ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(work.next(0)->samples, ElementsAre(0, 1, 2, 3));
}

TEST_F(WorklistTest, APairWithMoreToDoGetsMoreLanes) {
  make_plan(2, 64, {spec("baseline")});
  const Effort effort{.cells = {each(64, {.answering = 30}), each(64, {.answering = 10})},
                      .load_s = {1, 1}};
  Worklist work(plan_, stored_, {true, true}, effort);
  std::vector<int> lanes(2);
  for (int lane = 0; lane < 8; ++lane) ++lanes[work.next(lane)->pair];
  EXPECT_THAT(lanes, ElementsAre(6, 2));
}

TEST_F(WorklistTest, TheLastTasksOfLanesThatShareAPairAreShort) {
  make_plan(1, 16, {spec("baseline"), spec("skyline")});
  const Effort effort{.cells = {each(16, {.answering = 10}), each(16, {.answering = 10})},
                      .load_s = {}};
  Worklist alone(plan_, stored_, {true}, effort);
  EXPECT_EQ(alone.next(0)->samples.size() * alone.next(0)->cells.size(), 8U);
  Worklist work(plan_, stored_, {true}, effort, /*lanes=*/4);
  std::vector<size_t> answers;
  for (int turn = 0; const auto task = work.next(turn % 4); ++turn) {
    answers.push_back(task->samples.size() * task->cells.size());
  }
  EXPECT_EQ(std::accumulate(answers.begin(), answers.end(), size_t{0}), 32U);
  EXPECT_GT(answers.front(), 1U);
  EXPECT_LT(answers.front(), 4U);  // three more lanes will ask
  EXPECT_EQ(answers.back(), 1U);
}

// Where the same steps serve a whole batch, its cells are shared out; else its samples.
TEST_F(WorklistTest, TasksAreCutWhereLeastIsLost) {
  make_plan(1, 8, {spec("baseline"), spec("skyline")});
  const auto cut = [&](ExchangeSeconds seconds) {
    Worklist work(plan_, stored_, {true},
                  {.cells = {each(8, seconds), each(8, seconds)}, .load_s = {}});
    work.next(0);  // whole: no other lane is there
    return work.next(1).value();
  };
  const Task by_cells = cut({.answering = 0.1, .answering_steps = 40});
  EXPECT_EQ(by_cells.samples.size(), 4U);
  EXPECT_EQ(by_cells.cells.size(), 1U);
  const Task by_samples = cut({.context = 10, .answering = 1});
  EXPECT_LT(by_samples.samples.size(), 4U);
  EXPECT_EQ(by_samples.cells.size(), 2U);
}

TEST_F(WorklistTest, NoLaneJoinsAPairThatIsDoneBeforeItsWeightsAreLoaded) {
  make_plan(1, 4, {spec("baseline")});
  plan_.pairs[0].batch = 1;
  const Effort effort{.cells = {each(4, {.answering = 10})}, .load_s = {30}};
  Worklist work(plan_, stored_, {true}, effort);
  EXPECT_TRUE(work.next(0));              // loads, or nobody works
  EXPECT_EQ(work.next(1), std::nullopt);  // 30 s left for two lanes, and 30 s to load
  EXPECT_TRUE(work.next(0));
}

TEST_F(WorklistTest, PairsOfOthersAreLeftOut) {
  make_plan(2, 4, {spec("baseline")});
  Worklist work(plan_, stored_, {false, true});
  EXPECT_EQ(work.rows_left(), 4u);
  const Task task = work.next(0).value();
  EXPECT_EQ(task.pair, 1u);
  answer(work, task);
  EXPECT_TRUE(work.finished());
}

TEST_F(WorklistTest, WhatFailsIsTriedOnceMoreAlone) {
  make_plan(1, 4, {spec("baseline"), spec("skyline")});
  Worklist work = worklist();
  const Task task = work.next(0).value();
  answer(work, task,
         [](uint32_t sample, uint32_t cell) { return sample == 2 || (sample == 0 && cell == 1); });
  const Task first = work.next(0).value(), second = work.next(0).value();
  for (const Task& again : {first, second}) {
    EXPECT_EQ(again.attempt, 2u);
    EXPECT_EQ(again.batch, 1);
  }
  EXPECT_THAT(first.samples, ElementsAre(0));
  ASSERT_EQ(first.cells.size(), 1u);
  EXPECT_EQ(first.cells[0].cell, 1u);
  EXPECT_THAT(second.samples, ElementsAre(2));
  EXPECT_EQ(second.cells.size(), 2u);
  answer(work, first);
  EXPECT_FALSE(work.finished());
  answer(work, second, [](uint32_t, uint32_t) { return true; });  // never a third time
  EXPECT_TRUE(work.finished());
  EXPECT_EQ(work.rows_left(), 2u);
}

TEST_F(WorklistTest, WhereMemoryRanOutLaterBatchesAreHalfAsLarge) {
  make_plan(1, 11, {spec("baseline")});
  Worklist work = worklist();
  const Task first = work.next(0).value(), second = work.next(1).value();
  for (const Task& task : {first, second}) {  // both of 4, under way together: halved once
    Report report{.task = task.id, .cell = 0};
    report.failures.push_back({.what = "The sender failed: Out of memory: 9 GiB were asked for"});
    for (const uint32_t sample : task.samples) {
      report.rows.push_back({.key = plan_.cells[0].key, .sample = sample, .failed = true});
    }
    work.take_rows(report);
  }
  std::vector<size_t> sizes;
  while (const auto task = work.next(0)) {
    sizes.push_back(task->samples.size());
    answer(work, *task);
  }
  EXPECT_THAT(sizes, ElementsAre(2, 1, 1, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_TRUE(work.finished());
}

TEST_F(WorklistTest, WhatRunsOutAloneOrAsAShortRestHardlyChangesBatches) {
  make_plan(1, 18, {spec("baseline")});
  Worklist work = worklist();
  std::vector<Task> tasks;
  for (int lane = 0; lane < 5; ++lane) tasks.push_back(work.next(lane).value());
  const auto run_out = [&](const Task& task) {
    Report report{.task = task.id, .cell = 0};
    report.failures.push_back({.what = "Out of memory: 9 GiB were asked for"});
    for (const uint32_t sample : task.samples) {
      report.rows.push_back({.key = plan_.cells[0].key, .sample = sample, .failed = true});
    }
    work.take_rows(report);
  };
  ASSERT_EQ(tasks.back().samples.size(), 2u);
  run_out(tasks.back());  // the rest of 18: batches of 4 become 2, not 1
  for (int task = 0; task < 4; ++task) answer(work, tasks[static_cast<size_t>(task)]);
  run_out(work.next(0).value());  // one of the two again, alone
  EXPECT_EQ(work.batch_of(0), 2);
}

TEST_F(WorklistTest, AFailedCalibrationIsTriedOnceMoreSampleBySample) {
  make_plan(1, 4, {spec("kvcomm", {{"calibration_samples", 3}})});
  Worklist work = worklist();
  EXPECT_THAT(calibrate(work, work.next(0).value(), /*works=*/false), IsEmpty());
  const Task again = work.next(0).value();
  EXPECT_EQ(again.kind, Task::Kind::kCalibrate);
  EXPECT_EQ(again.attempt, 2u);
  EXPECT_EQ(again.batch, 1);
  EXPECT_THAT(calibrate(work, again), IsEmpty());
  EXPECT_EQ(run_to_the_end(work).size(), 1u);
}

TEST_F(WorklistTest, ALostCalibrationLosesItsCellsAlone) {
  make_plan(1, 4, {spec("kvcomm"), spec("kvcomm", {{"calibration_samples", 3}}), spec("baseline")});
  Worklist work = worklist();
  for (int attempt = 1; attempt <= 2; ++attempt) {
    const Task task = work.next(0).value();
    EXPECT_EQ(task.calibration_key, "0/c1");
    const auto lost = calibrate(work, task, /*works=*/false);
    EXPECT_EQ(lost.size(), attempt == 1 ? 0u : 1u);
    if (attempt == 2) {
      EXPECT_EQ(lost[0], &plan_.cells[0]);
    }
  }
  EXPECT_EQ(run_to_the_end(work), (std::vector<std::vector<uint32_t>>{{}, {1, 2}}));
  EXPECT_TRUE(work.finished());
  EXPECT_EQ(work.rows_left(), 4u);
}

TEST_F(WorklistTest, ARaggedResumeMakesWhatIsMissingOnly) {
  make_plan(1, 6, {spec("baseline"), spec("skyline")});
  plan_.cells[1].samples = 5;  // a limit of its own
  for (const uint32_t sample : {0, 1, 4})
    stored_.add(SampleRow{.key = "0/baseline", .sample = sample});
  for (const uint32_t sample : {0, 2}) stored_.add(SampleRow{.key = "0/skyline", .sample = sample});
  stored_.add(SampleRow{.key = "0/skyline", .sample = 3, .attempt = 2, .failed = true});
  Worklist work = worklist();
  EXPECT_EQ(work.rows_left(), 6u);
  EXPECT_THAT(work.missing(plan_.cells[0]), ElementsAre(2, 3, 5));
  EXPECT_THAT(work.missing(plan_.cells[1]), ElementsAre(1, 3, 4));
  std::vector<std::pair<uint32_t, uint32_t>> made;  // (sample, cell)
  while (const auto task = work.next(0)) {
    EXPECT_EQ(task->attempt, 1u);
    for (const uint32_t sample : task->samples) {
      for (const TaskCell& cell : task->cells) made.emplace_back(sample, cell.cell);
    }
    answer(work, *task);
  }
  std::ranges::sort(made);
  EXPECT_THAT(made, ElementsAre(std::pair(1, 1), std::pair(2, 0), std::pair(3, 0), std::pair(3, 1),
                                std::pair(4, 1), std::pair(5, 0)));
  EXPECT_TRUE(work.finished());
}

TEST_F(WorklistTest, NothingIsLeftOfAFinishedSweepNotEvenItsCalibration) {
  make_plan(1, 3, {spec("kvcomm")});
  for (const uint32_t sample : {0, 1, 2})
    stored_.add(SampleRow{.key = "0/kvcomm", .sample = sample});
  Worklist work = worklist();
  EXPECT_EQ(work.next(0), std::nullopt);
  EXPECT_TRUE(work.finished());
}

TEST_F(WorklistTest, TwoCellsThatAreTheSameWorkAreDoneOnce) {
  make_plan(1, 3, {spec("kvcomm"), spec("kvcomm", {{"ratio", 0.5}}), spec("baseline")});
  plan_.cells[1].key = plan_.cells[0].key;  // as the plan makes them: ratio is 0.5 by default
  plan_.cells[0].samples = 2;               // by a limit of its own
  Worklist work = worklist();
  EXPECT_EQ(work.rows_left(), 6u);
  EXPECT_EQ(run_to_the_end(work), (std::vector<std::vector<uint32_t>>{{}, {0, 2}, {1, 2}}));
  EXPECT_TRUE(work.finished());
  EXPECT_EQ(work.rows_left(), 0u);
}

TEST_F(WorklistTest, ReportsOnUnknownTasksAreRefused) {
  make_plan(1, 3, {spec("baseline")});
  Worklist work = worklist();
  EXPECT_ANY_THROW(work.take_rows({.task = 99}));
}

}  // namespace

}  // namespace kvcomm::testing

namespace kvcomm {
// For GoogleTest's comparison with std::nullopt.
inline bool operator==(const Task& a, const Task& b) { return encode(a) == encode(b); }
}  // namespace kvcomm
