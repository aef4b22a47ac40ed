// What the coordinator and the lanes say to each other arrives as it was said.
#include "tasks/messages.h"

#include <gtest/gtest.h>

#include <cmath>

namespace kvcomm::testing {
namespace {

TEST(MessagesTest, TasksComeBackAsTheyWere) {
  const Task task{
      .kind = Task::Kind::kRun,
      .id = (uint64_t{1} << 53) + 1,
      .pair = 2,
      .dataset = 1,
      .dataset_fingerprint = "0123abcd",
      .attempt = 2,
      .batch = 7,
      .samples = {0, 5, 4294967295},
      .cells = {{.cell = 3,
                 .spec = {.name = "random", .set = {}, .resolved = {{"ratio", 0.1}}, .limit = {}},
                 .layers = {0, 2, 29}},
                {.cell = 9, .spec = {}, .layers = {}}},
      .calibration_key = "key"};
  const Task back = decode_task(encode(task));
  EXPECT_EQ(encode(back), encode(task));
  EXPECT_EQ(back.kind, task.kind);
  EXPECT_EQ(back.id, task.id);
  EXPECT_EQ(back.samples, task.samples);
  EXPECT_EQ(back.cells.at(0).layers, task.cells[0].layers);
  EXPECT_EQ(back.cells.at(0).spec.name, "random");
  EXPECT_EQ(back.cells.at(0).spec.resolved.at("ratio"), 0.1);
  EXPECT_EQ(back.cells.at(1).cell, 9u);
  EXPECT_EQ(back.dataset_fingerprint, "0123abcd");
  for (const auto kind :
       {Task::Kind::kCalibrate, Task::Kind::kLoad, Task::Kind::kWait, Task::Kind::kStop}) {
    EXPECT_EQ(decode_task(encode(Task{.kind = kind})).kind, kind);
  }
}

TEST(MessagesTest, RowsComeBackWithEveryBitOfTheirNumbersAndTexts) {
  Report report{.kind = Report::Kind::kRows, .task = 8, .cell = 0xffffffff};
  report.rows.push_back({.sample = 4,
                         .attempt = 2,
                         .sample_id = "x:1",
                         .answer = std::string("caf\u00e9 \ufffd\n\t\"\\ \0 end", 19),
                         .score = 0.1 + 0.2,
                         .failed = true,
                         .layer_bytes = {0, 12345678901234},
                         .payload_bytes = (uint64_t{1} << 60) + 3,
                         .decode_s = 1e-9});
  report.failures.push_back({.sample = 4, .attempt = 2, .step = "wire", .what = "why"});
  const Report back = decode_report(encode(report));
  EXPECT_EQ(encode(back), encode(report));
  const SampleRow& row = back.rows.at(0);
  EXPECT_EQ(row.answer, report.rows[0].answer);
  EXPECT_EQ(row.score, 0.1 + 0.2);
  EXPECT_EQ(row.payload_bytes, (uint64_t{1} << 60) + 3);
  EXPECT_EQ(row.layer_bytes, report.rows[0].layer_bytes);
  EXPECT_EQ(row.decode_s, 1e-9);
  EXPECT_TRUE(row.failed);
  EXPECT_EQ(back.failures.at(0).what, "why");
  EXPECT_EQ(back.cell, 0xffffffff);
}

TEST(MessagesTest, CalibrationsComeBackToTheLastBit) {
  Report report{.kind = Report::Kind::kCalibration};
  report.calibration.importance = {1.0 / 3, 5e-324, 0, 1 - 1e-16};
  report.calibration.bytes = 77;
  const Report back = decode_report(encode(report));
  EXPECT_EQ(back.kind, Report::Kind::kCalibration);
  EXPECT_EQ(back.calibration.importance, report.calibration.importance);
  EXPECT_EQ(back.calibration.bytes, 77u);
}

TEST(MessagesTest, LastWordsComeBack) {
  Report report{.kind = Report::Kind::kLast};
  report.rank = {.rank = 3, .host = "node", .pid = 77, .role = "sender", .lane = 1, .load_s = 0.25};
  const RankRecord back = decode_report(encode(report)).rank;
  EXPECT_EQ(back.rank, 3);
  EXPECT_EQ(back.pid, 77);
  EXPECT_EQ(back.role, "sender");
  EXPECT_EQ(back.load_s, 0.25);
}

TEST(MessagesTest, WhatIsNoMessageIsRefused) {
  EXPECT_ANY_THROW(decode_task("nonsense"));
  EXPECT_ANY_THROW(decode_report(encode(Task{})));
}

TEST(Messages, ARecalibrationsMemorySaysNothingOfBatches) {
  Report report;
  report.failures = {{.step = "recalibration", .what = std::string(kOutOfMemory)}};
  EXPECT_FALSE(ran_out_of_memory(report));
  report.failures.push_back({.step = "answer", .what = std::string(kOutOfMemory)});
  EXPECT_TRUE(ran_out_of_memory(report));
}

}  // namespace
}  // namespace kvcomm::testing
