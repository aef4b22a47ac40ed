#include "schedule/simulate.h"

#include <time.h>

#include <algorithm>
#include <deque>
#include <map>
#include <queue>
#include <set>

#include "base/error.h"
#include "method/method.h"
#include "method/sharing.h"
#include "schedule/coordinator.h"

namespace kvcomm {

namespace {

// That a sender may be ahead of its receiver (comm's SendWindow).
constexpr size_t kAhead = 4;

// Of this thread's core.
Seconds cpu_s() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// A lane's place in time: until when its ends are taken.
struct Lane {
  double speed = 1;
  Seconds begins_s = 0;
  Seconds sender_free_s = 0, receiver_free_s = 0;
  std::optional<uint64_t> pair;
  std::deque<Seconds> exchanges;  // when the last ones ended

  Seconds free_s() const { return std::max({begins_s, sender_free_s, receiver_free_s}); }
};

// What a lane reports, and when.
struct Event {
  Seconds at_s = 0;
  uint64_t order = 0;
  Report report;
  bool operator>(const Event& other) const {
    return std::tie(at_s, order) > std::tie(other.at_s, other.order);
  }
};

// Answers every task in the time that it takes. Tasks of a lane follow each other, so that its
// reports are known as soon as it is sent one.
class TimedLanes : public LaneLink {
 public:
  TimedLanes(const Plan& plan, const Effort& effort, const SimulatedLanes& of)
      : plan_(plan), effort_(effort), of_(of), lanes_(static_cast<size_t>(of.lanes)) {
    size_t next = 0;
    for (const UnlikeLanes& unlike : of.unlike) {
      for (int i = 0; i < unlike.lanes && next < lanes_.size(); ++i, ++next) {
        lanes_[next].speed = unlike.speed;
        lanes_[next].begins_s = unlike.late_s;
      }
    }
    const int senders = of.colocate ? 0 : static_cast<int>(senders_of(plan.config));
    for (int lane = 0, rank = 0; lane < of.lanes; ++lane) {
      LaneRanks ranks;
      for (int i = 0; i < senders; ++i) ranks.senders.push_back(rank++);
      lane_of_rank_[ranks.receiver = rank++] = static_cast<size_t>(lane);
      ranks_.push_back(std::move(ranks));
    }
  }

  const std::vector<LaneRanks>& lanes() const { return ranks_; }
  int ranks() const override { return ranks_.back().receiver + 1; }
  bool sent() override { return true; }

  void send(const Task& task, std::span<const int> to) override {
    decode_task(encode(task));
    const CpuWatch watch(*this);
    if (task.kind == Task::Kind::kWait) return;
    if (task.kind == Task::Kind::kStop) {
      for (const int rank : to) tell(now_s_, {.kind = Report::Kind::kLast}, rank);
      return;
    }
    work(task, to.back());
  }

  // All reports of a moment come together; then the coordinator is let do what it does in between.
  std::optional<Report> poll() override {
    std::string bytes;
    {
      const CpuWatch watch(*this);
      const bool later = !events_.empty() && events_.top().at_s > now_s_;
      if (events_.empty() || (later && std::exchange(told_, false))) return std::nullopt;
      now_s_ = events_.top().at_s;
      told_ = true;
      bytes = encode(events_.top().report);
      events_.pop();
    }
    return decode_report(bytes);
  }

  Simulation result(Seconds coordinator_s) const {
    Simulation result = times_;
    result.lanes = of_.lanes;
    result.ranks = ranks();
    for (const Lane& lane : lanes_) result.took_s = std::max(result.took_s, lane.receiver_free_s);
    for (const Lane& lane : lanes_) result.tail_s += result.took_s - lane.receiver_free_s;
    result.coordinator_s = coordinator_s - lanes_cpu_s_;
    return result;
  }

 private:
  // What the lanes themselves take of this core is not the coordinator's.
  class CpuWatch {
   public:
    explicit CpuWatch(TimedLanes& lanes) : lanes_(lanes) {}
    ~CpuWatch() { lanes_.lanes_cpu_s_ += cpu_s() - from_s_; }

   private:
    TimedLanes& lanes_;
    const Seconds from_s_ = cpu_s();
  };

  void tell(Seconds at_s, Report report, int rank) {
    report.rank.rank = rank;
    events_.push({at_s, next_event_++, std::move(report)});
  }

  void work(const Task& task, int receiver) {
    Lane& lane = lanes_[lane_of_rank_.at(receiver)];
    ++times_.tasks;
    begin(lane, task.pair);
    if (task.kind == Task::Kind::kLoad) {
      return tell(lane.free_s(), {.kind = Report::Kind::kLoaded, .task = task.id}, receiver);
    }
    const Seconds from_s = lane.receiver_free_s;
    if (task.kind == Task::Kind::kCalibrate) {
      calibrate(lane, task, receiver);
      times_.calibrating_s += lane.receiver_free_s - from_s;
      return;
    }
    if (task.kind == Task::Kind::kOnline) choose(lane, task, receiver);
    for (size_t at = 0; at < task.samples.size(); at += static_cast<size_t>(task.batch)) {
      const auto count = std::min(task.samples.size() - at, static_cast<size_t>(task.batch));
      answer(lane, task, std::span(task.samples).subspan(at, count), receiver);
    }
    times_.answering_s += lane.receiver_free_s - from_s;
  }

  // Waits where the lane was idle, and loads another pair's models where it has none or others.
  void begin(Lane& lane, uint64_t pair) {
    const Seconds from_s = std::max(now_s_, lane.begins_s);
    times_.waiting_s += std::max(0.0, from_s - lane.receiver_free_s);
    lane.receiver_free_s = std::max(lane.receiver_free_s, from_s);
    lane.sender_free_s = std::max(lane.sender_free_s, from_s);
    if (lane.pair == pair) return;
    const Seconds load_s = effort_.load_of(pair) / lane.speed;
    (lane.pair ? times_.later_loads_s : times_.first_loads_s) += load_s;
    lane.sender_free_s = lane.receiver_free_s = lane.free_s() + load_s;
    lane.pair = pair;
  }

  // An exchange of both ends, the receiver's behind the sender's.
  void exchange(Lane& lane, const ExchangeSeconds& takes, Seconds context_s) {
    const Seconds sending_s = (context_s + takes.sending + takes.sending_steps) / lane.speed;
    const Seconds answering_s = (takes.answering + takes.answering_steps) / lane.speed;
    times_.ends_s += sending_s + answering_s;
    if (of_.colocate) {
      lane.receiver_free_s += sending_s + answering_s;
      lane.sender_free_s = lane.receiver_free_s;
      return;
    }
    if (sending_s + takes.wire > 0) {
      if (lane.exchanges.size() >= kAhead) {
        lane.sender_free_s = std::max(lane.sender_free_s, lane.exchanges.front());
        lane.exchanges.pop_front();
      }
      lane.sender_free_s += sending_s;
      lane.receiver_free_s = std::max(lane.receiver_free_s, lane.sender_free_s + takes.wire);
    }
    lane.receiver_free_s += answering_s;
    lane.exchanges.push_back(lane.receiver_free_s);
  }

  void answer(Lane& lane, const Task& task, std::span<const uint32_t> samples, int receiver) {
    bool context_is_read = false;
    for (const TaskCell& of_task : task.cells) {
      const Cell& cell = plan_.cells[of_task.cell];
      const ExchangeSeconds takes = effort_.batch(cell, samples);
      const bool reads = takes.context > 0 && !std::exchange(context_is_read, true);
      exchange(lane, takes, reads ? takes.context : 0);
      Report rows{.task = task.id, .cell = cell.id};
      for (const uint32_t sample : samples) rows.rows.push_back(row_of(cell, sample, task.attempt));
      times_.answers += rows.rows.size();
      tell(lane.receiver_free_s, std::move(rows), receiver);
    }
  }

  SampleRow row_of(const Cell& cell, uint32_t sample, uint32_t attempt) const {
    return {.sample = sample,
            .attempt = attempt,
            .sample_id = plan_.datasets[cell.dataset].at(sample).id,
            .answer = "what a model would say",
            .layer_bytes = std::vector<uint64_t>(shares_layers(cell.spec) ? layers(cell) : 0)};
  }

  size_t layers(const Cell& cell) const {
    return static_cast<size_t>(plan_.pairs[cell.pair].receiver.config.layers);
  }

  // All layers of some samples, read by both ends; held-out ones count as long as the first.
  Seconds calibration_s(const Cell& cell, std::span<const uint32_t> samples) const {
    Seconds seconds = 0;
    for (const uint32_t sample : samples) {
      const uint32_t known = sample < cell.samples ? sample : 0;
      const ExchangeSeconds takes = effort_.batch(cell, std::span(&known, 1));
      seconds += takes.context + takes.wire + takes.answering;
    }
    return seconds;
  }

  void calibrate(Lane& lane, const Task& task, int receiver) {
    const auto cell = std::ranges::find(plan_.cells, task.calibration_key, &Cell::calibration_key);
    lane.receiver_free_s = lane.free_s() + calibration_s(*cell, task.samples) / lane.speed;
    lane.sender_free_s = lane.receiver_free_s;
    Report report{.kind = Report::Kind::kCalibration, .task = task.id};
    report.calibration.importance.assign(layers(*cell), 1.0 / static_cast<double>(layers(*cell)));
    tell(lane.receiver_free_s, std::move(report), receiver);
  }

  void choose(Lane& lane, const Task& task, int receiver) {
    const Cell& cell = plan_.cells[task.cells.front().cell];
    const Seconds takes_s = calibration_s(cell, std::span(&task.chosen_by, 1));
    lane.sender_free_s = lane.receiver_free_s = lane.free_s() + takes_s / lane.speed;
    Report report{.kind = Report::Kind::kRecalibration, .task = task.id, .cell = cell.id};
    report.recalibration.sample = task.chosen_by;
    tell(lane.receiver_free_s, std::move(report), receiver);
  }

  const Plan& plan_;
  const Effort& effort_;
  const SimulatedLanes& of_;
  std::vector<Lane> lanes_;
  std::vector<LaneRanks> ranks_;
  std::map<int, size_t> lane_of_rank_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t next_event_ = 0;
  Seconds now_s_ = 0;
  bool told_ = false;  // a report of this moment
  Seconds lanes_cpu_s_ = 0;
  Simulation times_;
};

}  // namespace

Simulation simulate(const Plan& plan, const Effort& effort, const SimulatedLanes& of,
                    const std::filesystem::path& folder) {
  TimedLanes lanes(plan, effort, of);
  CompletedIndex stored;
  Journal journal(folder, {.run_id = "simulated"});
  std::vector<PairLock> locks;
  Coordinator coordinator(plan, stored, journal, locks, lanes, [] { return false; });
  const Seconds from_s = cpu_s();
  coordinator.run(lanes.lanes(), std::vector<bool>(plan.pairs.size(), true), effort);
  return lanes.result(cpu_s() - from_s);
}

}  // namespace kvcomm
