// The coordinator: a thread of rank 0 that hands tasks to the lanes, journals what they report, and
// keeps the pairs' locks. It costs no GPU and sleeps between looks; it alone writes.
#pragma once

#include <list>
#include <optional>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"
#include "store/journal.h"
#include "store/locks.h"
#include "store/stored.h"
#include "sweep/messages.h"
#include "sweep/plan.h"
#include "sweep/progress.h"
#include "sweep/worklist.h"

namespace kvcomm {

// Tags on the coordinator's communicator.
inline constexpr int kTaskTag = 1;
inline constexpr int kReportTag = 2;

// Every lane hears from the coordinator this often (or four times within run.timeout_s), so that
// the wait for a task can have a deadline.
inline constexpr Seconds kWaitEvery_s = 5;

// The world ranks of each lane: its sender and its receiver (the same in a world of one).
struct LaneRanks {
  int sender = 0, receiver = 0;
};

class Coordinator {
 public:
  // All references must outlive it.
  Coordinator(const Plan& plan, Stored& stored, Journal& journal, std::vector<PairLock>& locks,
              Communicator& world);

  // Runs the work of `ours` on the lanes and tells every rank to stop in the end. Returns kOk,
  // kSomeFailed, or kStopped after a signal.
  Exit run(const std::vector<LaneRanks>& lanes, const std::vector<bool>& ours);

 private:
  void hand_out(int lane, const LaneRanks& ranks);
  void send_task(const Task& task, const LaneRanks& ranks);
  bool sends_done();
  bool take_report();  // false: none was there
  void store_rows(Report& report);
  void store_calibration(Report& report);
  void lose(const Cell& cell, const std::string& why);
  void write_cell(const Cell& cell);
  void write_questions(const std::vector<bool>& ours);
  void keep_alive(const std::vector<LaneRanks>& lanes);
  void stop_all(const std::vector<LaneRanks>& lanes);

  const Plan& plan_;
  Stored& stored_;
  Journal& journal_;
  std::vector<PairLock>& locks_;
  Communicator& world_;
  std::optional<Worklist> work_;
  std::optional<Progress> progress_;
  std::list<Transfer> sends_;  // under way: a blocking one could wait for a lane that waits for us
  std::map<uint64_t, int> lane_of_task_;
  std::vector<int> tasks_at_lane_;
  bool stopping_ = false;
  int ranks_reported_ = 0;
  Seconds waited_at_s_ = now_s(), touched_at_s_ = now_s();
};

}  // namespace kvcomm
