// A lane by itself: tasks in, reports out, both ends in this process, without MPI.
#include "lane/worker.h"

#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "tests/plan/plan_fixture.h"

namespace kvcomm::testing {
namespace {

class LaneTest : public PlanTest {
 protected:
  LaneTest() {
    methods_ = "[[method]]\nname = \"kvcomm\"\n[[method]]\nname = \"skyline\"\n";
    plan_ = plan({"dataset.demo.max_new_tokens=4", "run.dtype=float32"});
  }

  Task task(Task::Kind kind, uint64_t id, std::vector<uint32_t> samples) const {
    return {.kind = kind,
            .id = id,
            .dataset_fingerprint = plan_.datasets.front().fingerprint,
            .batch = 2,
            .samples = std::move(samples)};
  }

  std::vector<Report> run(std::deque<Task> tasks) const {
    LocalTaskLink link(std::move(tasks));
    Faults none;
    Worker worker(plan_.config, {.transport = "loopback"}, link, none, /*lane=*/nullptr);
    worker.run();
    return link.reports();
  }

  Plan plan_;
};

TEST_F(LaneTest, AnswersEveryCellOfATaskBatchByBatch) {
  Task work = task(Task::Kind::kRun, 7, {0, 1, 3});
  work.cells = {{.cell = 0, .spec = plan_.cells[0].spec, .layers = {1, 2}},
                {.cell = 1, .spec = plan_.cells[1].spec, .layers = {}}};
  const std::vector<Report> reports = run({{.kind = Task::Kind::kWait}, work});
  // It has begun; two batches in two cells; it leaves.
  ASSERT_EQ(reports.size(), 6U);
  EXPECT_EQ(reports.front().kind, Report::Kind::kBegun);
  EXPECT_EQ(reports.back().kind, Report::Kind::kLast);
  std::vector<std::pair<uint32_t, std::vector<uint32_t>>> seen;
  for (size_t i = 1; i < 5; ++i) {
    EXPECT_EQ(reports[i].kind, Report::Kind::kRows);
    EXPECT_EQ(reports[i].task, 7U);
    auto& [cell, samples] = seen.emplace_back(reports[i].cell, std::vector<uint32_t>{});
    for (const SampleRow& row : reports[i].rows) {
      samples.push_back(row.sample);
      EXPECT_FALSE(row.failed);
      EXPECT_GT(row.output_tokens, 0U);
      const uint64_t a_token = 2 * 2 * 8 * sizeof(float);  // keys and values of 2 heads of 8
      EXPECT_EQ(row.payload_bytes, cell == 0 ? 2 * a_token * row.context_tokens : 0);
    }
  }
  using Samples = std::vector<uint32_t>;
  EXPECT_EQ(seen, (decltype(seen){
                      {0, Samples{0, 1}}, {1, Samples{0, 1}}, {0, Samples{3}}, {1, Samples{3}}}));
}

TEST_F(LaneTest, MeasuresImportancesOfAllLayers) {
  const std::vector<Report> reports = run({task(Task::Kind::kCalibrate, 3, {0, 1})});
  ASSERT_EQ(reports.size(), 3U);
  const Report& measured = reports[1];
  EXPECT_EQ(measured.kind, Report::Kind::kCalibration);
  EXPECT_TRUE(measured.failures.empty());
  ASSERT_EQ(measured.calibration.importance.size(), 4U);
  for (const double importance : measured.calibration.importance) {
    EXPECT_GT(importance, 0);
    EXPECT_LT(importance, 1);
  }
  EXPECT_GT(measured.calibration.bytes, 0U);
}

TEST_F(LaneTest, ChoosesLayersByOneSampleAndAnswersTheOthersByThem) {
  methods_ = "[[method]]\nname = \"kvcomm\"\nrecalibrate_every = 2\n";
  plan_ = plan({"dataset.demo.max_new_tokens=4", "run.dtype=float32"});
  Task work = task(Task::Kind::kOnline, 5, {2, 3});
  work.chosen_by = 2;
  work.cells = {{.cell = 0, .spec = plan_.cells[0].spec, .layers = {}}};
  const std::vector<Report> reports = run({work});
  ASSERT_EQ(reports.size(), 4U);
  const Report &chosen = reports[1], &rows = reports[2];
  EXPECT_EQ(chosen.kind, Report::Kind::kRecalibration);
  const RecalibrationRecord& record = chosen.recalibration;
  EXPECT_EQ(record.sample, 2U);
  EXPECT_EQ(record.importance.size(), 4U);
  EXPECT_EQ(record.layers.size(), 2U);
  EXPECT_EQ(record.return_bytes, 2 * sizeof(int32_t));
  EXPECT_NE(record.answer, "");
  ASSERT_EQ(rows.rows.size(), 2U);
  const uint64_t a_token = 2 * 2 * 8 * sizeof(float);  // keys and values of 2 heads of 8
  for (const SampleRow& row : rows.rows) {
    EXPECT_FALSE(row.failed);
    EXPECT_EQ(row.payload_bytes, 2 * a_token * row.context_tokens);
    EXPECT_EQ(row.attempt, 1U);
  }
  EXPECT_EQ(record.bytes, 2 * rows.rows.front().payload_bytes);  // all four layers
}

// The sample that is to choose them has a prompt that does not fit, and the receiver's end tells
// so.
TEST_F(LaneTest, SamplesWhoseLayersCouldNotBeChosenFailWithTheReason) {
  methods_ = "[[method]]\nname = \"kvcomm\"\nrecalibrate_every = 2\n";
  edit(root() / "demo.jsonl", "The ship.", std::string(4000, 'x'));
  plan_ = plan({"run.dtype=float32", "run.max_input_tokens=60"});
  Task work = task(Task::Kind::kOnline, 5, {0, 1});
  work.cells = {{.cell = 0, .spec = plan_.cells[0].spec, .layers = {}}};
  Task next = task(Task::Kind::kOnline, 6, {3});
  next.chosen_by = 2;
  next.cells = work.cells;
  const std::vector<Report> reports = run({work, next});
  const Report& lost = reports.at(1);
  EXPECT_EQ(lost.kind, Report::Kind::kRows);
  EXPECT_EQ(lost.task, 5U);
  ASSERT_EQ(lost.rows.size(), 2U);
  ASSERT_EQ(lost.failures.size(), 2U);
  for (const SampleRow& row : lost.rows) EXPECT_TRUE(row.failed);
  EXPECT_NE(lost.failures[1].what.find("could not be chosen by sample 0"), std::string::npos);
  EXPECT_NE(lost.failures[1].what.find("max_input_tokens"), std::string::npos);
  EXPECT_FALSE(ran_out_of_memory(lost));
  // The ends are in step: the next choice is made.
  EXPECT_EQ(reports.at(3).kind, Report::Kind::kRecalibration);
  EXPECT_FALSE(reports.at(4).rows.at(0).failed);
}

// The same two models on either side, and each half of the context to one of them.
TEST_F(LaneTest, PlaysSeveralSendersWithinOneProcess) {
  std::ofstream(root() / "demo.jsonl")
      << R"({"id": "s", "context": "One ship. Two ships came in.", "question": "What?", )"
      << R"("answers": ["ship"]})";
  const auto answered = [&](const std::string& sender) {
    plan_ = plan({"dataset.demo.max_new_tokens=4", "run.dtype=float32", "pair.p.sender=" + sender});
    Task work = task(Task::Kind::kRun, 1, {0});
    work.cells = {{.cell = 0, .spec = plan_.cells[0].spec, .layers = {1, 2}}};
    LocalTaskLink link({work});
    Seat seat{.transport = "loopback"};
    seat.senders = static_cast<int>(senders_of(plan_.config));
    Faults none;
    Worker worker(plan_.config, seat, link, none, /*lane=*/nullptr);
    worker.run();
    return link.reports().at(1).rows.at(0);
  };
  const SampleRow two = answered(R"(["a", "a"])"), one = answered("a");
  EXPECT_FALSE(two.failed);
  EXPECT_TRUE(one.senders.empty());
  ASSERT_EQ(two.senders.size(), 2U);
  EXPECT_EQ(two.context_tokens, two.senders[0].context_tokens + two.senders[1].context_tokens);
  EXPECT_EQ(two.payload_bytes, two.senders[0].payload_bytes + two.senders[1].payload_bytes);
  EXPECT_EQ(two.header_bytes, two.senders[0].header_bytes + two.senders[1].header_bytes);
  EXPECT_GT(two.senders[1].context_tokens, two.senders[0].context_tokens);
  EXPECT_GT(two.context_tokens, one.context_tokens);  // each with a template of its own
}

TEST_F(LaneTest, RefusesDataThatRankZeroDidNotPlanWith) {
  Task work = task(Task::Kind::kRun, 1, {0});
  work.dataset_fingerprint = "another";
  EXPECT_THROW(run({work}), Error);
}

}  // namespace
}  // namespace kvcomm::testing
