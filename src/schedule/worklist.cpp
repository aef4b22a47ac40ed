#include "schedule/worklist.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "method/sharing.h"

namespace kvcomm {

namespace {

// Shorter tasks are not cut: what a task costs beside its work would show.
constexpr Seconds kShort_s = 5;
// A lane has a task and one in reserve, so that its share of the rest is cut into twice as many.
constexpr double kParts = 4;
// A half that takes so much of the whole is not worth it: both have the same steps to take.
constexpr double kMuch = 0.8;

}  // namespace

Worklist::Worklist(const Plan& plan, const CompletedIndex& stored, const std::vector<bool>& ours,
                   Effort effort, size_t lanes)
    : plan_(plan),
      stored_(stored),
      effort_(std::move(effort)),
      lanes_(lanes),
      pairs_(plan.pairs.size()) {
  for (const Cell& cell : plan.cells) {
    if (!ours[cell.pair]) continue;
    const bool same = !groups_.empty() && groups_.back().pair == cell.pair &&
                      groups_.back().dataset == cell.dataset;
    if (!same) {
      pairs_[cell.pair].groups.push_back(groups_.size());
      groups_.push_back({.pair = cell.pair, .dataset = cell.dataset});
    }
    Group& group = groups_.back();
    group.cells.push_back(&cell);
    if (!cell.calibration_key.empty() && !missing(cell).empty()) {
      group.calibrations[cell.calibration_key].samples = cell.calibrating();
    }
  }
  for (Group& group : groups_) {
    for (const Draft& draft : drafts_of(group, [](const Cell&) { return true; })) {
      group.undrafted_s += draft.seconds;
    }
    pairs_[group.pair].left_s += group.undrafted_s;
    settle(group);
  }
}

// Takes over the importances that are stored; once none is missing, chooses layers and drafts the
// tasks.
void Worklist::settle(Group& group) {
  bool ready = true;
  for (auto& [key, calibration] : group.calibrations) {
    if (stored_.importance(key) != nullptr) calibration.state = State::kDone;
    ready = ready && (calibration.state == State::kDone || calibration.state == State::kLost);
  }
  const int layers = static_cast<int>(plan_.pairs[group.pair].receiver.config.layers);
  for (const Cell* cell : group.cells) {
    if (!shares_layers(cell->spec) || choices_.contains(cell->id)) continue;
    if (cell->recalibrate_every > 0) continue;  // its lane chooses
    const std::vector<double>* importance = stored_.importance(cell->calibration_key);
    if (!cell->calibration_key.empty() && importance == nullptr) continue;
    const std::vector<double> none;
    choices_.emplace(cell->id, type_of(cell->spec)
                                   .choose(cell->spec, importance == nullptr ? none : *importance,
                                           layers, plan_.fidelity));
  }
  if (ready && !group.drafted) draft(group);
}

// Of cells that are the same work (equal keys) the first alone: its row is theirs too. Those that
// recalibrate are none of these.
template <typename May>
std::vector<uint32_t> Worklist::missing_cells(const Group& group, uint32_t sample,
                                              const May& may) const {
  std::vector<uint32_t> cells;
  std::set<std::string_view> keys;
  for (const Cell* cell : group.cells) {
    if (cell->recalibrate_every == 0 && may(*cell) && sample < cell->samples &&
        !stored_.is_done(cell->key, sample) && keys.insert(cell->key).second) {
      cells.push_back(cell->id);
    }
  }
  return cells;
}

void Worklist::draft_online(const Cell& cell, std::deque<Draft>& drafts) const {
  const Draft* last = nullptr;
  for (const uint32_t sample : missing(cell)) {
    const bool joins =
        last != nullptr && chosen_by(cell, last->samples.front()) == chosen_by(cell, sample);
    if (!joins) drafts.push_back({.samples = {}, .cells = {cell.id}});
    drafts.back().samples.push_back(sample);
    last = &drafts.back();
  }
}

// Tasks of consecutive samples that miss the same cells, a batch each; the longest first.
template <typename May>
std::deque<Draft> Worklist::drafts_of(const Group& group, const May& may) const {
  std::deque<Draft> drafts;
  int64_t samples = 0;
  for (const Cell* cell : group.cells) samples = std::max(samples, cell->samples);
  for (uint32_t sample = 0; sample < samples; ++sample) {
    std::vector<uint32_t> cells = missing_cells(group, sample, may);
    if (cells.empty()) continue;
    const bool joins = !drafts.empty() && drafts.back().cells == cells &&
                       static_cast<int64_t>(drafts.back().samples.size()) < batch_of(group.pair);
    if (!joins) drafts.push_back({.cells = std::move(cells)});
    drafts.back().samples.push_back(sample);
  }
  std::set<std::string_view> keys;
  for (const Cell* cell : group.cells) {
    if (cell->recalibrate_every > 0 && keys.insert(cell->key).second) draft_online(*cell, drafts);
  }
  for (Draft& draft : drafts) draft.seconds = seconds_of(draft, plan_, effort_);
  if (knows_effort()) std::ranges::stable_sort(drafts, std::greater{}, &Draft::seconds);
  return drafts;
}

void Worklist::draft(Group& group) {
  Seconds& left_s = pairs_[group.pair].left_s;
  left_s -= std::exchange(group.undrafted_s, 0);
  group.drafts = drafts_of(group, [&](const Cell& cell) { return can_run(cell); });
  for (const Draft& draft : group.drafts) left_s += draft.seconds;
  group.drafted = true;
}

const LayerChoice* Worklist::choice(const Cell& cell) const {
  const auto found = choices_.find(cell.id);
  return found == choices_.end() ? nullptr : &found->second;
}

std::vector<uint32_t> Worklist::missing(const Cell& cell) const {
  std::vector<uint32_t> samples;
  for (uint32_t sample = 0; sample < cell.samples; ++sample) {
    if (!stored_.is_done(cell.key, sample)) samples.push_back(sample);
  }
  return samples;
}

uint64_t Worklist::rows_left() const {
  std::set<std::pair<std::string_view, uint32_t>> rows;
  for (const Group& group : groups_) {
    for (const Cell* cell : group.cells) {
      for (const uint32_t sample : missing(*cell)) rows.emplace(cell->key, sample);
    }
  }
  return rows.size();
}

bool Worklist::finished() const {
  return idle() && std::ranges::all_of(groups_, [](const Group& group) {
           return group.drafted && group.drafts.empty();
         });
}

const Task& Worklist::running(uint64_t task) const {
  const auto found = running_.find(task);
  if (found == running_.end())
    fail(Exit::kInternal, "A report came on task {}, which no lane has.", task);
  return found->second.task;
}

// ---- who gets what

void Worklist::give_pair(int lane, size_t pair) {
  const auto [mine, is_new] = lane_pair_.try_emplace(lane, pair);
  if (!is_new) --pairs_[std::exchange(mine->second, pair)].lanes;
  ++pairs_[pair].lanes;
}

// Those whose lanes have most left come first. Where that takes no longer than to load its weights,
// a lane that joins would only be late; but what no lane serves must be served.
std::vector<size_t> Worklist::worth_joining(int lane) const {
  const auto mine = lane_pair_.find(lane);
  std::vector<size_t> pairs;
  for (size_t pair = 0; pair < pairs_.size(); ++pair) {
    if (mine != lane_pair_.end() && mine->second == pair) continue;
    const bool pays = pairs_[pair].share_of_one_more() > effort_.load_of(pair);
    if (has_work(pair) && (pays || pairs_[pair].lanes == 0)) pairs.push_back(pair);
  }
  std::ranges::stable_sort(pairs, std::greater{},
                           [&](size_t pair) { return pairs_[pair].share_of_one_more(); });
  return pairs;
}

bool Worklist::is_calibrating(size_t pair) const {
  return std::ranges::any_of(pairs_[pair].groups,
                             [&](size_t group) { return !groups_[group].drafted; });
}

bool Worklist::has_work(size_t pair) const {
  const auto drafts = [&](size_t group) { return !groups_[group].drafts.empty(); };
  return is_calibrating(pair) || std::ranges::any_of(pairs_[pair].groups, drafts);
}

std::optional<Task> Worklist::next(int lane) {
  if (const auto mine = lane_pair_.find(lane); mine != lane_pair_.end()) {
    if (std::optional<Task> task = take_from(mine->second)) return task;
    // It will have work as soon as a calibration is there: better than loading another pair.
    if (is_calibrating(mine->second)) return std::nullopt;
  }
  for (const size_t pair : worth_joining(lane)) {
    give_pair(lane, pair);  // first, since its tasks are cut for all its lanes
    if (std::optional<Task> task = take_from(pair)) return task;
    return start({.kind = Task::Kind::kLoad}, pairs_[pair].groups.front(), /*rows=*/1);
  }
  return std::nullopt;
}

// A calibration first, since much waits for it; then what takes longest.
std::optional<Task> Worklist::take_from(size_t pair) {
  for (const size_t group : pairs_[pair].groups) {
    if (std::optional<Task> task = take_calibration_of(group)) return task;
  }
  std::optional<size_t> longest;
  for (const size_t group : pairs_[pair].groups) {
    const std::deque<Draft>& drafts = groups_[group].drafts;
    if (drafts.empty()) continue;
    const bool longer =
        !longest ||
        (knows_effort() && drafts.front().seconds > groups_[*longest].drafts.front().seconds);
    if (longer) longest = group;
  }
  if (!longest) return std::nullopt;
  const Draft draft = take_draft(groups_[*longest]);
  return start(make_task(draft), *longest, draft.samples.size() * draft.cells.size());
}

std::optional<Task> Worklist::take_calibration_of(size_t index) {
  Group& group = groups_[index];
  for (auto& [key, calibration] : group.calibrations) {
    if (calibration.state != State::kMissing) continue;
    calibration.state = State::kRunning;
    Task task{.kind = Task::Kind::kCalibrate, .calibration_key = key};
    task.samples = calibration.samples;
    task.attempt = calibration.attempt;
    task.batch = calibration.attempt == 1 ? batch_of(group.pair) : 1;
    return start(std::move(task), index, /*rows=*/1);
  }
  return std::nullopt;
}

// A small part of what the pair's lanes have left. Where not all have asked yet, those that its
// work will get are counted.
Seconds Worklist::longest_task(const Pair& pair) const {
  Seconds left_s = 0;
  for (const Pair& each : pairs_) left_s += each.left_s;
  const double expected = static_cast<double>(lanes_) * pair.left_s / left_s;
  const double lanes = std::max<double>(pair.lanes, std::round(expected));
  if (lanes < 2 || !knows_effort()) return std::numeric_limits<Seconds>::infinity();
  return std::max(kShort_s, pair.left_s / (kParts * lanes));
}

// The first of the group's, cut until it is short enough.
Draft Worklist::take_draft(Group& group) {
  Pair& pair = pairs_[group.pair];
  Draft draft = std::move(group.drafts.front());
  group.drafts.pop_front();
  const Seconds most_s = longest_task(pair);
  while (draft.seconds > most_s && draft.can_be_cut() && !is_online(draft)) {
    auto [first, second] = halves(draft, plan_, effort_);
    if (std::max(first.seconds, second.seconds) > kMuch * draft.seconds) break;
    pair.left_s += first.seconds + second.seconds - draft.seconds;
    insert(std::move(second), group.drafts);
    draft = std::move(first);
  }
  pair.left_s -= draft.seconds;
  return draft;
}

void Worklist::take_loaded(const Report& report) {
  running(report.task);  // fails if there is no such task
  running_.erase(report.task);
}

Task Worklist::make_task(const Draft& draft) const {
  Task task{.kind = Task::Kind::kRun,
            .attempt = draft.attempt,
            .batch = draft.attempt == 1 ? std::ssize(draft.samples) : 1,
            .samples = draft.samples};
  if (is_online(draft)) {
    const Cell& cell = plan_.cells[draft.cells.front()];
    task.chosen_by = chosen_by(cell, draft.samples.front());
    task.batch = draft.attempt == 1 ? batch_of(cell.pair) : 1;
    const std::vector<int32_t>* layers = stored_.recalibrated(cell.key, task.chosen_by);
    if (layers == nullptr) task.kind = Task::Kind::kOnline;
    task.cells.push_back({.cell = cell.id, .spec = cell.spec, .layers = {}});
    if (layers != nullptr) task.cells.front().layers = *layers;
    return task;
  }
  for (const uint32_t id : draft.cells) {
    const auto chosen = choices_.find(id);
    task.cells.push_back(
        {.cell = id,
         .spec = plan_.cells[id].spec,
         .layers = chosen == choices_.end() ? std::vector<int>{} : chosen->second.layers()});
  }
  return task;
}

Task Worklist::start(Task task, size_t group, uint64_t rows) {
  task.id = next_task_++;
  task.pair = groups_[group].pair;
  task.dataset = groups_[group].dataset;
  task.dataset_fingerprint = plan_.datasets[task.dataset].fingerprint;
  running_.emplace(task.id, Running{.task = task, .group = group, .rows_left = rows});
  return task;
}

int64_t Worklist::batch_of(size_t pair) const {
  const auto halved = halved_.find(pair);
  return halved == halved_.end() ? plan_.pairs[pair].batch : halved->second;
}

// Once for all tasks of a size: others of it may be under way. A sample that alone is too many says
// nothing of batches; nor does a short rest of samples more than that it was too many.
void Worklist::halve(size_t pair, int64_t batch) {
  const int64_t half = std::max(batch, batch_of(pair)) / 2;
  if (batch <= 1 || half >= batch_of(pair)) return;
  halved_[pair] = half;
  spdlog::warn("Pair '{}': memory ran out with {} samples, so batches have {} from now on.",
               plan_.config.pairs[pair].name, batch, half);
  for (Group& group : groups_) {
    if (group.pair != pair) continue;
    std::deque<Draft> drafts;
    for (const Draft& draft : group.drafts) {
      pairs_[pair].left_s -= draft.seconds;
      if (is_online(draft)) {  // its task is worked on in batches
        drafts.push_back(draft);
        continue;
      }
      std::ranges::move(in_batches(draft, static_cast<size_t>(half), plan_, effort_),
                        std::back_inserter(drafts));
    }
    for (const Draft& draft : drafts) pairs_[pair].left_s += draft.seconds;
    group.drafts = std::move(drafts);
  }
}

void Worklist::take_rows(const Report& report) {
  running(report.task);  // fails if there is no such task
  Running& running = running_.at(report.task);
  for (const SampleRow& row : report.rows) {
    if (row.failed && running.task.attempt == 1) running.failed[row.sample].push_back(report.cell);
  }
  if (ran_out_of_memory(report)) halve(running.task.pair, running.task.batch);
  running.rows_left -= std::min<uint64_t>(running.rows_left, report.rows.size());
  if (running.rows_left > 0) return;
  std::deque<Draft>& drafts = groups_[running.group].drafts;
  Seconds& left_s = pairs_[groups_[running.group].pair].left_s;
  for (const auto& [sample, cells] : running.failed) {
    Draft again{.samples = {sample}, .cells = cells, .attempt = 2};
    const bool joins = !drafts.empty() && is_online(again) && drafts.back().attempt == 2 &&
                       drafts.back().cells == cells && sample != running.failed.begin()->first;
    if (joins) {  // one choice of layers serves them
      drafts.back().samples.push_back(sample);
    } else {
      drafts.push_back(std::move(again));  // behind all others
    }
    left_s -= drafts.back().seconds;
    drafts.back().seconds = seconds_of(drafts.back(), plan_, effort_);
    left_s += drafts.back().seconds;
  }
  running_.erase(report.task);
}

std::vector<const Cell*> Worklist::take_calibration(const Report& report) {
  const Task task = running(report.task);
  Group& group = groups_[running_.at(report.task).group];
  running_.erase(report.task);
  if (ran_out_of_memory(report)) halve(task.pair, task.batch);
  Calibration& calibration = group.calibrations.at(task.calibration_key);
  std::vector<const Cell*> lost;
  if (report.calibration.importance.empty()) {
    calibration.state = task.attempt == 1 ? State::kMissing : State::kLost;
    calibration.attempt = 2;
    for (const Cell* cell : group.cells) {
      if (calibration.state == State::kLost && cell->calibration_key == task.calibration_key) {
        lost.push_back(cell);
      }
    }
  }
  settle(group);
  return lost;
}

}  // namespace kvcomm
