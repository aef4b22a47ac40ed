#include "schedule/coordinator.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "method/method.h"
#include "schedule/cell_record.h"
#include "schedule/row_costs.h"
#include "schedule/task_text.h"
#include "score/score.h"

namespace kvcomm {

namespace {

// One is under way, one in reserve so that no lane waits for the next.
constexpr int kTasksPerLane = 2;

// Those that failed because their bytes arrived otherwise than they were sent.
std::set<uint32_t> altered_samples(const Report& report) {
  std::set<uint32_t> samples;
  for (const FailureRecord& failure : report.failures) {
    if (failure.step == kAlteredStep) samples.insert(failure.sample);
  }
  return samples;
}

}  // namespace

std::vector<std::pair<size_t, uint32_t>> missing_questions(const Plan& plan,
                                                           const CompletedIndex& stored,
                                                           const std::vector<bool>& ours) {
  std::vector<int64_t> samples(plan.datasets.size(), 0);
  for (const Cell& cell : plan.cells) {
    if (ours[cell.pair]) samples[cell.dataset] = std::max(samples[cell.dataset], cell.samples);
  }
  std::vector<std::pair<size_t, uint32_t>> missing;
  for (size_t d = 0; d < samples.size(); ++d) {
    const Dataset& dataset = plan.datasets[d];
    for (uint32_t i = 0; i < samples[d]; ++i) {
      const bool known = stored.has_question(dataset.info.name, dataset.fingerprint, i,
                                             plan.config.run.store_contexts);
      if (!known) missing.emplace_back(d, i);
    }
  }
  return missing;
}

Coordinator::Coordinator(const Plan& plan, CompletedIndex& stored, Journal& journal,
                         std::vector<PairLock>& locks, LaneLink& link,
                         std::function<bool()> stop_asked)
    : plan_(plan),
      stored_(stored),
      journal_(journal),
      locks_(locks),
      link_(link),
      stop_asked_(std::move(stop_asked)) {}

Exit Coordinator::run(const std::vector<LaneRanks>& lanes, const std::vector<bool>& ours,
                      Effort effort) {
  lanes_ = lanes;
  work_.emplace(plan_, stored_, ours, std::move(effort), lanes.size());
  for (const Cell& cell : plan_.cells) {
    if (ours[cell.pair]) write_cell(cell);
  }
  write_questions(ours);
  journal_.sync();
  progress_.emplace(work_->rows_left());
  tasks_at_lane_.assign(lanes.size(), 0);
  while (!work_->finished() && !stop_asked_()) {
    for (size_t lane = 0; lane < lanes.size(); ++lane) hand_out(static_cast<int>(lane));
    look();
  }
  if (work_->finished()) return end();
  stopped_at_s_ = now_s();
  send_all(Task::Kind::kStop);  // for lanes that come to rest: they must not wait for tasks
  return Exit::kStopped;
}

Exit Coordinator::finish_in_hand() {
  const auto is_late = [&] { return now_s() - *stopped_at_s_ > plan_.config.run.grace_s; };
  while (!in_hand_.empty() && !work_->finished() && !is_late()) look();
  while (take_reports()) {  // what came meanwhile is kept too
  }
  if (work_->finished()) return end();
  for (const int lane : in_hand_) {
    spdlog::warn("What lane {} has in hand did not end within run.grace_s = {} s: it is dropped.",
                 lane, plan_.config.run.grace_s);
  }
  progress_->finish();
  write_ranks();
  return Exit::kStopped;
}

// Takes what is there; sleeps, longer and longer, while nothing is.
void Coordinator::look() {
  const bool busy = take_reports();
  keep_alive();
  progress_->show();
  sleep_s_ = busy ? 0 : std::min(5e-3, sleep_s_ + 2e-4);
  if (!busy) std::this_thread::sleep_for(std::chrono::duration<double>(sleep_s_));
}

void Coordinator::hand_out(int lane) {
  while (tasks_at_lane_[static_cast<size_t>(lane)] < kTasksPerLane) {
    const std::optional<Task> task = work_->next(lane);
    if (!task) return;
    spdlog::debug("Lane {} gets task {}: {} samples of {} on {} in {} cells.", lane, task->id,
                  task->samples.size(), plan_.datasets[task->dataset].info.name,
                  plan_.config.pairs[task->pair].name, task->cells.size());
    lane_of_task_[task->id] = lane;
    ++tasks_at_lane_[static_cast<size_t>(lane)];
    link_.send(*task, lanes_[static_cast<size_t>(lane)].all());
  }
}

bool Coordinator::take_reports() {
  constexpr int kMostTogether = 256;  // lanes are to hear of new tasks meanwhile
  int taken = 0;
  try {
    while (taken < kMostTogether && take_report()) ++taken;
  } catch (...) {
    journal_.sync();  // the rows before what failed are safe
    throw;
  }
  journal_.sync();
  return taken > 0;
}

bool Coordinator::take_report() {
  std::optional<Report> polled = link_.poll();
  if (!polled) return false;
  Report& report = *polled;
  reported_at_s_ = now_s();
  reminder_ = Reminder();
  ranks_[report.rank.rank] = report.rank;
  const auto lane = lane_of_task_.find(report.task);
  switch (report.kind) {
    case Report::Kind::kBegun:
      if (lane != lane_of_task_.end() && !stopped_at_s_) in_hand_.insert(lane->second);
      return true;
    case Report::Kind::kRank:
      return true;
    case Report::Kind::kLast:
      ++ranks_left_;
      return true;
    case Report::Kind::kRecalibration:
      store_recalibration(report);
      return true;
    case Report::Kind::kLoaded:
      work_->take_loaded(report);
      break;
    case Report::Kind::kRows:
      store_rows(report);
      break;
    case Report::Kind::kCalibration:
      store_calibration(report);
      break;
  }
  if (lane == lane_of_task_.end()) return true;
  const bool done = !work_->has(report.task);
  // After a stop the receiver's next report ends what its lane has in hand; its senders may be
  // ahead.
  const bool receivers = report.rank.rank == lanes_[static_cast<size_t>(lane->second)].receiver;
  if (done || (stopped_at_s_ && receivers)) in_hand_.erase(lane->second);
  if (done) {
    --tasks_at_lane_[static_cast<size_t>(lane->second)];
    lane_of_task_.erase(lane);
  }
  return true;
}

void Coordinator::store_rows(Report& report) {
  const Cell& cell = plan_.cells.at(report.cell);
  const std::set<uint32_t> altered = altered_samples(report);
  uint64_t good = 0, failed = 0, bytes = 0;
  const SampleCost cost = sample_cost(plan_, cell);
  for (SampleRow& row : report.rows) {
    bytes += row.payload_bytes;
    if (altered.contains(row.sample)) {
      failed += row.attempt > 1;
      rows_altered_ += row.attempt > 1;
      continue;
    }
    row.key = cell.key;
    set_flops(row, cost);
    journal_.append(row);
    stored_.add(row);
    if (!row.failed) {
      ++good;
    } else if (row.attempt > 1) {
      ++failed;
    }
  }
  for (FailureRecord& failure : report.failures) {
    failure.key = cell.key;
    spdlog::warn("{}, {}, sample {}, attempt {}: {}", plan_.datasets[cell.dataset].info.name,
                 cell.spec.label(), failure.sample, failure.attempt, failure.what);
    journal_.append(failure);
  }
  work_->take_rows(report);
  progress_->add(good + failed, failed, bytes);
}

void Coordinator::store_calibration(Report& report) {
  const Task task = work_->running(report.task);
  for (FailureRecord& failure : report.failures) {
    failure.key = task.calibration_key;
    spdlog::warn("Calibration of {} on {}, attempt {}: {}", plan_.config.pairs[task.pair].name,
                 plan_.datasets[task.dataset].info.name, task.attempt, failure.what);
    journal_.append(failure);
  }
  if (!report.calibration.importance.empty()) {
    CalibrationRecord& record = report.calibration;
    record.key = task.calibration_key;
    record.pair = plan_.config.pairs[task.pair].name;
    record.dataset = plan_.datasets[task.dataset].info.name;
    for (const Cell& cell : plan_.cells) {
      if (cell.calibration_key == record.key) record.key_json = cell.calibration_key_json;
    }
    journal_.append(record);
    stored_.add(record);
  }
  const std::vector<const Cell*> lost = work_->take_calibration(report);
  for (const Cell* cell : lost) {
    if (altered_samples(report).empty()) {
      lose(*cell, "Its calibration failed.");
    } else {
      rows_altered_ += work_->missing(*cell).size();
    }
  }
  for (const Cell& cell : plan_.cells) {
    if (cell.calibration_key == task.calibration_key && work_->choice(cell) != nullptr)
      write_cell(cell);
  }
}

void Coordinator::store_recalibration(Report& report) {
  RecalibrationRecord& record = report.recalibration;
  record.key = plan_.cells.at(report.cell).key;
  journal_.append(record);
  stored_.add(record);
}

// A cell that cannot run keeps all its samples in n as failed ones: a crash must not raise a score.
void Coordinator::lose(const Cell& cell, const std::string& why) {
  const Dataset& dataset = plan_.datasets[cell.dataset];
  const SampleCost cost = sample_cost(plan_, cell);
  for (const uint32_t sample : work_->missing(cell)) {
    SampleRow row{.key = cell.key,
                  .sample = sample,
                  .sample_id = dataset.samples[sample].id,
                  .further_scores = unscored(plan_.config.datasets[cell.dataset]),
                  .failed = true};
    set_flops(row, cost);
    journal_.append(row);
    stored_.add(row);
    journal_.append(
        FailureRecord{.key = cell.key, .sample = sample, .step = "calibration", .what = why});
    progress_->add(1, 1, 0);
  }
}

void Coordinator::write_cell(const Cell& cell) {
  journal_.append(cell_record(plan_, cell, work_->choice(cell)));
}

void Coordinator::write_questions(const std::vector<bool>& ours) {
  const bool with_contexts = plan_.config.run.store_contexts;
  for (const auto& [d, i] : missing_questions(plan_, stored_, ours)) {
    const Dataset& dataset = plan_.datasets[d];
    const Sample& sample = dataset.samples[i];
    journal_.append(
        QuestionRecord{.dataset = dataset.info.name,
                       .fingerprint = dataset.fingerprint,
                       .sample = i,
                       .sample_id = sample.id,
                       .question = sample.question,
                       .answers = sample.answers,
                       .contexts = with_contexts ? sample.contexts : std::vector<std::string>{}});
  }
}

void Coordinator::keep_alive() {
  link_.sent();
  const Seconds every_s = std::min(kWaitEvery_s, plan_.config.run.timeout_s / 4);
  if (!stopped_at_s_ && now_s() - waited_at_s_ > every_s) {
    waited_at_s_ = now_s();
    // Busy lanes hear it too: the end that has no part in its task's methods is idle.
    send_all(Task::Kind::kWait);
    require_signs_of_life();
    say_what_is_waited_for();
  }
  if (now_s() - touched_at_s_ > kTouchEvery_s) {
    touched_at_s_ = now_s();
    for (PairLock& lock : locks_) {
      if (!lock.touch()) spdlog::warn("Pair '{}' was taken over by another run.", lock.pair());
    }
  }
}

// Nobody else would miss a lane of which all ranks are gone.
void Coordinator::require_signs_of_life() const {
  const Seconds timeout_s = plan_.config.run.timeout_s;
  for (size_t lane = 0; lane < lanes_.size(); ++lane) {
    for (const int rank : lanes_[lane].all()) {
      const Seconds silent_s = link_.silent_s(rank);
      if (silent_s < timeout_s) continue;
      const auto known = ranks_.find(rank);
      fail(Exit::kEnvironment,
           "Rank {} ({} of lane {}){} gave no sign of life for {:.3g} s (run.timeout_s = {:.3g} "
           "s): it was stopped, or its host or the way to it is gone. Its lane had {} in hand. The "
           "job ends here; the same command goes on from what is stored.",
           rank, rank == lanes_[lane].receiver ? "receiver" : "sender", lane,
           known == ranks_.end() ? "" : " on " + known->second.host, silent_s, timeout_s,
           in_hand(lane));
    }
  }
}

void Coordinator::say_what_is_waited_for() {
  constexpr size_t kLanesNamed = 4;
  const Seconds waited_s = now_s() - reported_at_s_;
  if (!reminder_.is_due(waited_s)) return;
  std::vector<std::string> waits;
  for (size_t lane = 0; lane < std::min(kLanesNamed, lanes_.size()); ++lane) {
    waits.push_back(fmt::format("lane {} has {} in hand", lane, in_hand(lane)));
  }
  if (lanes_.size() > kLanesNamed) {
    waits.push_back(fmt::format("{} more lanes", lanes_.size() - kLanesNamed));
  }
  Seconds silent_s = 0;
  for (const LaneRanks& lane : lanes_) {
    for (const int rank : lane.all()) silent_s = std::max(silent_s, link_.silent_s(rank));
  }
  spdlog::info(
      "No lane has reported for {:.0f} s; every rank gave a sign of life within the last {:.0f} s: "
      "{}.",
      waited_s, std::ceil(silent_s), fmt::join(waits, "; "));
}

std::string Coordinator::in_hand(size_t lane) const {
  std::vector<std::string> tasks;
  for (const auto& [id, at] : lane_of_task_) {
    if (static_cast<size_t>(at) == lane) tasks.push_back(task_text(plan_, work_->running(id)));
  }
  return tasks.empty() ? "nothing" : fmt::format("{}", fmt::join(tasks, ", then "));
}

void Coordinator::send_all(Task::Kind kind) {
  for (const LaneRanks& ranks : lanes_) link_.send({.kind = kind}, ranks.all());
}

// All work is done: every rank leaves its lane.
Exit Coordinator::end() {
  progress_->finish();
  if (!stopped_at_s_) send_all(Task::Kind::kStop);
  const Deadline deadline(plan_.config.run.timeout_s, "the last report of every rank", "the lanes");
  deadline.require([&] {
    while (take_reports()) {
    }
    return link_.sent() && ranks_left_ == link_.ranks();
  });
  write_ranks();
  if (rows_altered_ > 0) {
    spdlog::error(
        "Answers that are missing: {}. What arrived for them was twice not what had been sent "
        "(/failures names them). Look at memory, cards and network, then start the same command "
        "again: it tries them anew.",
        rows_altered_);
    return Exit::kIntegrity;
  }
  return work_->rows_left() == 0 ? Exit::kOk : Exit::kSomeFailed;
}

void Coordinator::write_ranks() {
  for (auto& [rank, record] : ranks_) {
    record.run_id = journal_.run_id();
    journal_.append(record);
  }
  journal_.sync();
}

}  // namespace kvcomm
