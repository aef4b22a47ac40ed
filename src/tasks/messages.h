// What the coordinator and the lanes say to each other: indices, layer sets, importances and rows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "method/spec.h"
#include "store/rows.h"

namespace kvcomm {

// A cell of a task: its method, with the layers that it shares.
struct TaskCell {
  uint32_t cell = 0;
  MethodSpec spec;
  std::vector<int> layers;
};

// Work for a lane. Both its ends get the same tasks in the same order.
struct Task {
  enum class Kind {
    kRun,        // answer `samples` by every cell
    kCalibrate,  // importances of all layers on `samples`
    kOnline,     // choose the layers of its one cell by `chosen_by`, then answer `samples` by them
    kLoad,       // load the pair's models: there will be work for it
    kWait,       // nothing to do yet: the coordinator lives
    kStop,       // nothing to do any more: report and leave
  };
  Kind kind = Kind::kWait;
  uint64_t id = 0;
  uint64_t pair = 0, dataset = 0;   // places in the configuration
  std::string dataset_fingerprint;  // the lane's own file must have the same
  uint32_t attempt = 1;
  int64_t batch = 1;  // samples worked on together at most
  std::vector<uint32_t> samples;
  uint32_t chosen_by = 0;
  std::vector<TaskCell> cells;
  std::string calibration_key;
};

// What a rank says: that its lane has begun with a task (the receiver: models and data are there),
// that it has loaded what it was told to, rows of one batch and cell, a calibration or
// recalibration; where there is none of these, its seconds so far, and at last that it leaves.
struct Report {
  enum class Kind { kBegun, kLoaded, kRows, kCalibration, kRecalibration, kRank, kLast };
  Kind kind = Kind::kRows;
  uint64_t task = 0;
  uint32_t cell = 0;
  std::vector<SampleRow> rows;  // their key is the coordinator's to fill in
  std::vector<FailureRecord> failures;
  CalibrationRecord calibration;      // no importance: it failed, and failures say why
  RecalibrationRecord recalibration;  // its key is the coordinator's to fill in
  RankRecord rank;                    // with every report, so that a stop loses no seconds
};

// Begins what is told of work that memory did not suffice for, at either end.
inline constexpr std::string_view kOutOfMemory = "Out of memory: ";
bool ran_out_of_memory(const Report& report);

// The step of a failure whose bytes arrived otherwise than they were sent: nothing that was made of
// them is ever stored, not even as failed.
inline constexpr const char* kAlteredStep = "checksum";

// Tags on the coordinator's communicator.
inline constexpr int kTaskTag = 1;
inline constexpr int kReportTag = 2;

// Every lane hears from the coordinator this often (or four times within run.timeout_s), so that
// the wait for a task can have a deadline.
inline constexpr Seconds kWaitEvery_s = 5;

// The world ranks of each lane: its senders and its receiver. None sends where one rank plays all.
struct LaneRanks {
  bool is_one_rank() const { return senders.empty(); }
  std::vector<int> all() const {
    std::vector<int> all = senders;
    all.push_back(receiver);
    return all;
  }

  std::vector<int> senders;
  int receiver = 0;
};

std::string encode(const Task& task);
std::string encode(const Report& report);
Task decode_task(std::string_view bytes);
Report decode_report(std::string_view bytes);

}  // namespace kvcomm
