// What is left of a sweep and who gets it next: tasks out, rows and importances in. Plain
// bookkeeping in memory; the coordinator talks and stores.
//
// What takes longest goes first, and as a pair's work comes to its end its tasks are cut smaller,
// so that its lanes are done at about the same time.
//
// A cell that recalibrates every T samples is a task for each T of them: its layers are chosen by
// the first sample alone, so that nothing is carried over, and lanes share such a cell as any
// other.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "plan/effort.h"
#include "plan/plan.h"
#include "schedule/draft.h"
#include "select/layers.h"
#include "store/completed.h"
#include "tasks/messages.h"

namespace kvcomm {

class Worklist {
 public:
  // ours: pairs that this run may work on. plan and stored must outlive it. Without effort every
  // sample takes a second, nothing has to be loaded, no task is cut, and all goes in the plan's
  // order. lanes: that will ask.
  Worklist(const Plan& plan, const CompletedIndex& stored, const std::vector<bool>& ours,
           Effort effort = {}, size_t lanes = 1);

  // The next task for a lane. A lane stays with its pair (its weights are loaded) while that has
  // work, then takes the pair whose lanes have most left, if that is worth loading its weights.
  // Where a pair waits for a calibration, its lanes load meanwhile. Nothing: what is left is for
  // others, or there is nothing left.
  std::optional<Task> next(int lane);

  // A lane has loaded what it was told to.
  void take_loaded(const Report& report);

  // Rows of a task came. Failed ones of a first attempt are queued again, each sample alone; where
  // memory ran out, its pair's batches have half as many samples from then on.
  void take_rows(const Report& report);

  // A calibration came (stored already), or failed: then it is tried once more. Returns the cells
  // that are lost for good because of it.
  std::vector<const Cell*> take_calibration(const Report& report);

  // The layers that a cell shares, once known; nullptr where it shares none or they are not known.
  const LayerChoice* choice(const Cell& cell) const;

  // Samples of a cell that have no good row yet.
  std::vector<uint32_t> missing(const Cell& cell) const;

  uint64_t rows_left() const;                     // still to be made by this run
  bool idle() const { return running_.empty(); }  // no lane has a task
  // The most samples of a batch: the plan's, or what memory was found to hold.
  int64_t batch_of(size_t pair) const;
  bool finished() const;  // idle, and nothing can be handed out
  bool has(uint64_t task) const { return running_.contains(task); }  // it is not done yet
  const Task& running(uint64_t task) const;

 private:
  enum class State { kMissing, kRunning, kDone, kLost };
  struct Calibration {
    State state = State::kMissing;
    uint32_t attempt = 1;
    std::vector<uint32_t> samples;
  };
  struct Group {  // pair x data set
    size_t pair = 0, dataset = 0;
    std::vector<const Cell*> cells;
    std::map<std::string, Calibration> calibrations;
    std::deque<Draft> drafts;  // in the order in which they go
    Seconds undrafted_s = 0;   // of what is left, while that is not drafted
    bool drafted = false;      // drafts were made: all its calibrations are settled
  };
  struct Pair {
    Seconds left_s = 0;  // of what no lane was given yet
    int lanes = 0;       // that have it
    std::vector<size_t> groups;

    Seconds share_of_one_more() const { return left_s / (lanes + 1); }
  };
  struct Running {
    Task task;
    size_t group = 0;
    uint64_t rows_left = 0;
    std::map<uint32_t, std::vector<uint32_t>> failed;  // sample -> cells
  };

  void settle(Group& group);
  bool knows_effort() const { return !effort_.cells.empty(); }
  bool can_run(const Cell& cell) const {
    return !shares_layers(cell.spec) || choices_.contains(cell.id);
  }
  template <typename May>
  std::vector<uint32_t> missing_cells(const Group& group, uint32_t sample, const May& may) const;
  template <typename May>
  std::deque<Draft> drafts_of(const Group& group, const May& may) const;
  void draft(Group& group);
  void draft_online(const Cell& cell, std::deque<Draft>& drafts) const;
  // By which sample the layers for another one are chosen.
  static uint32_t chosen_by(const Cell& cell, uint32_t sample) {
    return static_cast<uint32_t>(sample / cell.recalibrate_every * cell.recalibrate_every);
  }
  bool is_online(const Draft& draft) const {
    return plan_.cells[draft.cells.front()].recalibrate_every > 0;
  }
  void halve(size_t pair, int64_t batch);
  std::vector<size_t> worth_joining(int lane) const;
  void give_pair(int lane, size_t pair);
  bool is_calibrating(size_t pair) const;
  bool has_work(size_t pair) const;
  std::optional<Task> take_from(size_t pair);
  std::optional<Task> take_calibration_of(size_t group);
  Seconds longest_task(const Pair& pair) const;
  Draft take_draft(Group& group);
  Task make_task(const Draft& draft) const;
  Task start(Task task, size_t group, uint64_t rows);

  const Plan& plan_;
  const CompletedIndex& stored_;
  const Effort effort_;
  const size_t lanes_;
  std::vector<Pair> pairs_;  // as in the plan
  std::vector<Group> groups_;
  std::map<uint32_t, LayerChoice> choices_;  // by cell
  std::map<uint64_t, Running> running_;      // by task
  std::map<int, size_t> lane_pair_;
  std::map<size_t, int64_t> halved_;  // a pair's batch, where memory ran out
  uint64_t next_task_ = 1;
};

}  // namespace kvcomm
