// The coordinator: a thread of rank 0 that hands tasks to the lanes, journals what they report, and
// keeps the pairs' locks. It costs no GPU and sleeps between looks; it alone writes.
//
// Asked to stop, it hands out nothing more. What a lane has in hand is one exchange: a batch in one
// cell. Its rows are waited for no longer than run.grace_s; nobody waits for the lanes themselves,
// which go on with what they have until the process ends.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/reminder.h"
#include "plan/plan.h"
#include "schedule/progress.h"
#include "schedule/worklist.h"
#include "store/completed.h"
#include "store/journal.h"
#include "store/locks.h"
#include "tasks/task_link.h"

namespace kvcomm {

// What the samples of our cells ask and no journal of the folder tells yet: data set, sample.
std::vector<std::pair<size_t, uint32_t>> missing_questions(const Plan& plan,
                                                           const CompletedIndex& stored,
                                                           const std::vector<bool>& ours);

class Coordinator {
 public:
  // All references must outlive it. stop_asked: whether the run is to end early.
  Coordinator(const Plan& plan, CompletedIndex& stored, Journal& journal,
              std::vector<PairLock>& locks, LaneLink& link, std::function<bool()> stop_asked);

  // Runs the work of `ours` on the lanes and tells every rank in the end that it is over. Returns
  // kOk, kSomeFailed or, as soon as a stop is asked for, kStopped.
  // effort says what takes long; without it every sample takes as long as any other.
  Exit run(const std::vector<LaneRanks>& lanes, const std::vector<bool>& ours, Effort effort = {});
  // After kStopped: takes what the lanes have in hand. Returns kStopped again, or what run() would
  // have, where that was the last of the work.
  Exit finish_in_hand();

 private:
  void look();
  void hand_out(int lane);
  // All that wait, whose rows are synced together; false: none was there.
  bool take_reports();
  bool take_report();
  void store_rows(Report& report);
  void store_calibration(Report& report);
  void store_recalibration(Report& report);
  void lose(const Cell& cell, const std::string& why);
  void write_cell(const Cell& cell);
  void write_questions(const std::vector<bool>& ours);
  void keep_alive();
  void require_signs_of_life() const;
  void say_what_is_waited_for();
  std::string in_hand(size_t lane) const;
  void send_all(Task::Kind kind);
  Exit end();
  void write_ranks();

  const Plan& plan_;
  CompletedIndex& stored_;
  Journal& journal_;
  std::vector<PairLock>& locks_;
  LaneLink& link_;
  std::function<bool()> stop_asked_;
  std::vector<LaneRanks> lanes_;
  std::optional<Worklist> work_;
  std::optional<Progress> progress_;
  std::map<uint64_t, int> lane_of_task_;
  std::vector<int> tasks_at_lane_;
  std::set<int> in_hand_;  // lanes with an exchange under way
  std::optional<Seconds> stopped_at_s_;
  std::map<int, RankRecord> ranks_;  // what each has done so far
  int ranks_left_ = 0;               // that have said their last
  uint64_t rows_altered_ = 0;        // for good: they are not stored
  Seconds waited_at_s_ = now_s(), touched_at_s_ = now_s(), sleep_s_ = 0;
  Seconds reported_at_s_ = now_s();
  Reminder reminder_;  // of what is waited for since then
};

}  // namespace kvcomm
