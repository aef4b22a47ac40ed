#include "schedule/worklist.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>

#include "base/error.h"
#include "base/log.h"
#include "method/sharing.h"

namespace kvcomm {

Worklist::Worklist(const Plan& plan, const CompletedIndex& stored, const std::vector<bool>& ours)
    : plan_(plan), stored_(stored) {
  for (const Cell& cell : plan.cells) {
    if (!ours[cell.pair]) continue;
    const bool same = !groups_.empty() && groups_.back().pair == cell.pair &&
                      groups_.back().dataset == cell.dataset;
    if (!same) groups_.push_back({.pair = cell.pair, .dataset = cell.dataset});
    Group& group = groups_.back();
    group.cells.push_back(&cell);
    if (!cell.calibration_key.empty() && !missing(cell).empty()) {
      group.calibrations[cell.calibration_key].samples = cell.calibrating();
    }
  }
  for (Group& group : groups_) settle(group);
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
std::vector<uint32_t> Worklist::missing_cells(const Group& group, uint32_t sample) const {
  std::vector<uint32_t> cells;
  std::set<std::string_view> keys;
  for (const Cell* cell : group.cells) {
    const bool can_run =
        cell->recalibrate_every == 0 && (!shares_layers(cell->spec) || choices_.contains(cell->id));
    if (can_run && sample < cell->samples && !stored_.is_done(cell->key, sample) &&
        keys.insert(cell->key).second) {
      cells.push_back(cell->id);
    }
  }
  return cells;
}

// By which sample the layers for another one are chosen.
uint32_t Worklist::chosen_by(const Cell& cell, uint32_t sample) const {
  return static_cast<uint32_t>(sample / cell.recalibrate_every * cell.recalibrate_every);
}

bool Worklist::is_online(const Draft& draft) const {
  return plan_.cells[draft.cells.front()].recalibrate_every > 0;
}

void Worklist::draft_online(Group& group, const Cell& cell) {
  const Draft* last = nullptr;
  for (const uint32_t sample : missing(cell)) {
    const bool joins =
        last != nullptr && chosen_by(cell, last->samples.front()) == chosen_by(cell, sample);
    if (!joins) group.drafts.push_back({.samples = {}, .cells = {cell.id}});
    group.drafts.back().samples.push_back(sample);
    last = &group.drafts.back();
  }
}

// Tasks of consecutive samples that miss the same cells, a batch each.
void Worklist::draft(Group& group) {
  int64_t samples = 0;
  for (const Cell* cell : group.cells) samples = std::max(samples, cell->samples);
  for (uint32_t sample = 0; sample < samples; ++sample) {
    std::vector<uint32_t> cells = missing_cells(group, sample);
    if (cells.empty()) continue;
    const bool joins =
        !group.drafts.empty() && group.drafts.back().cells == cells &&
        static_cast<int64_t>(group.drafts.back().samples.size()) < batch_of(group.pair);
    if (!joins) group.drafts.push_back({.cells = std::move(cells)});
    group.drafts.back().samples.push_back(sample);
  }
  std::set<std::string_view> keys;
  for (const Cell* cell : group.cells) {
    if (cell->recalibrate_every > 0 && keys.insert(cell->key).second) draft_online(group, *cell);
  }
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

std::vector<size_t> Worklist::preference(int lane) const {
  std::map<size_t, int> lanes_on_pair;
  for (const auto& [other, pair] : lane_pair_) {
    if (other != lane) ++lanes_on_pair[pair];
  }
  const auto mine = lane_pair_.find(lane);
  std::vector<std::tuple<bool, int, size_t>> ranked;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const size_t pair = groups_[i].pair;
    const bool elsewhere = mine == lane_pair_.end() || mine->second != pair;
    const auto served = lanes_on_pair.find(pair);
    ranked.emplace_back(elsewhere, served == lanes_on_pair.end() ? 0 : served->second, i);
  }
  std::ranges::sort(ranked);
  std::vector<size_t> order;
  for (const auto& entry : ranked) order.push_back(std::get<2>(entry));
  return order;
}

std::optional<Task> Worklist::next(int lane) {
  for (const size_t group : preference(lane)) {
    std::optional<Task> task = take_from(group);
    if (!task) {
      // Its own pair will have work as soon as a calibration is there: better than loading another
      // pair.
      const auto mine = lane_pair_.find(lane);
      const bool soon = !groups_[group].drafted && mine != lane_pair_.end() &&
                        mine->second == groups_[group].pair;
      if (soon) return std::nullopt;
      continue;
    }
    lane_pair_[lane] = groups_[group].pair;
    return task;
  }
  return std::nullopt;
}

std::optional<Task> Worklist::take_from(size_t index) {
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
  if (group.drafts.empty()) return std::nullopt;
  const Draft draft = std::move(group.drafts.front());
  group.drafts.pop_front();
  return start(make_task(draft), index, draft.samples.size() * draft.cells.size());
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
      if (is_online(draft)) {  // its task is worked on in batches
        drafts.push_back(draft);
        continue;
      }
      for (size_t begin = 0; begin < draft.samples.size(); begin += static_cast<size_t>(half)) {
        Draft part{.cells = draft.cells, .attempt = draft.attempt};
        const size_t end = std::min(begin + static_cast<size_t>(half), draft.samples.size());
        part.samples.assign(draft.samples.begin() + static_cast<ptrdiff_t>(begin),
                            draft.samples.begin() + static_cast<ptrdiff_t>(end));
        drafts.push_back(std::move(part));
      }
    }
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
  for (const auto& [sample, cells] : running.failed) {
    Draft again{.samples = {sample}, .cells = cells, .attempt = 2};
    const bool joins = !drafts.empty() && is_online(again) && drafts.back().attempt == 2 &&
                       drafts.back().cells == cells && sample != running.failed.begin()->first;
    if (joins) {  // one choice of layers serves them
      drafts.back().samples.push_back(sample);
    } else {
      drafts.push_back(std::move(again));
    }
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
