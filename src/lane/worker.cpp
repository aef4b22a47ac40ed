#include "lane/worker.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "lane/failures.h"
#include "lane/sample_rows.h"
#include "method/calibration.h"
#include "method/control.h"
#include "method/method.h"
#include "method/wire.h"
#include "model/device_watch.h"
#include "store/process.h"

namespace kvcomm {

namespace {

constexpr uint32_t kCalibrationCell = 0xffffffff;  // in headers: no cell's id

uint64_t peak_of_device(at::Device device) {
  if (device.is_cpu()) return 0;
  const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return static_cast<uint64_t>(stats.allocated_bytes[kAll].peak);
}

std::string role_name(Role role) {
  switch (role) {
    case Role::kSender:
      return "sender";
    case Role::kReceiver:
      return "receiver";
    case Role::kBoth:
      return "both";
  }
  return "";
}

}  // namespace

// The same samples at either end.
struct Worker::Batches {
  Batches(const PairSession& session, const Seat& seat, std::span<const Sample* const> samples)
      : session(session),
        seat(seat),
        sent(by_senders(samples)),
        received(session.receiver(), session.terms(), samples) {}

  void begin(const ExchangeId& exchange) {
    for (std::vector<Batch>* batches : {&sent, &deranged}) {
      for (Batch& batch : *batches) batch.begin(exchange);
    }
    received.begin(exchange);
  }

  // What the senders read for a cell: under that control other samples, in the place of these.
  std::span<Batch> for_cell(const MethodSpec& spec, const ExchangeId& exchange) {
    if (control_of(spec) != Control::kDeranged || sent.empty()) return sent;
    if (deranged.empty()) {
      const std::vector<Sample>& all = session.dataset().samples;
      for (const Sample* sample : sent.front().samples()) {
        Sample& other = others.emplace_back(all[kvcomm::deranged(sample->index, all.size())]);
        other.id += fmt::format(" of sample {}, as a control", other.index);
        other.index = sample->index;
      }
      std::vector<const Sample*> samples;
      for (const Sample& other : others) samples.push_back(&other);
      deranged = by_senders(samples);
      for (Batch& batch : deranged) batch.begin(exchange);
    }
    return deranged;
  }

  // A batch for each sender that this rank plays.
  std::vector<Batch> by_senders(std::span<const Sample* const> samples) const {
    std::vector<Batch> batches;
    for (const size_t sender : seat.plays_senders()) {
      batches.emplace_back(session.sender(sender), session.terms(), samples, sender);
    }
    return batches;
  }

  const PairSession& session;
  const Seat& seat;
  std::vector<Sample> others;  // that deranged batches refer to
  std::vector<Batch> sent, deranged;
  Batch received;
};

Worker::Worker(const Config& config, Seat seat, TaskLink& tasks, Faults& faults, Communicator* lane,
               const Heartbeat* heartbeat)
    : config_(config),
      seat_(std::move(seat)),
      tasks_(tasks),
      faults_(faults),
      session_(config, seat_, lane),
      fidelity_(fidelity_of(config)) {
  busy_.sender_flops = busy_.receiver_flops = busy_.calibration_flops = 0;
  busy_.start_host_bytes = resident_memory();
  open_pipes(lane, heartbeat);
}

void Worker::open_pipes(Communicator* lane, const Heartbeat* heartbeat) {
  AnsweringEnd::Wires wires;
  for (const int peer : seat_.pipe_peers()) {
    PipeRequest request{.transport = seat_.transport,
                        .sends = seat_.sends(),
                        .receives = seat_.receives(),
                        .peer = peer,
                        .end = {.device = seat_.device, .timeout_s = config_.run.timeout_s},
                        .faults = &faults_,
                        .link = pipes_.empty() ? nullptr : pipes_.front().link};
    if (heartbeat != nullptr && seat_.role != Role::kBoth) {
      const auto end = static_cast<size_t>(peer);
      request.end.peer = seat_.names.at(end);
      request.end.peer_silent_s = [heartbeat, rank = seat_.world_ranks.at(end)] {
        return heartbeat->silent_s(rank);
      };
    }
    const PipeEnds& pipe = pipes_.emplace_back(open_ends(request, lane));
    std::swap(request.sends, request.receives);
    const PipeEnds& back = return_pipes_.emplace_back(open_return_ends(request, lane));
    if (pipe.sender != nullptr) {
      sending_.emplace_back(*pipe.sender, seat_.device, busy_, faults_);
      wires.outgoing.push_back(pipe.sender.get());
    }
    if (pipe.receiver != nullptr) wires.in.push_back(pipe.receiver.get());
    if (back.sender != nullptr) wires.back.push_back(back.sender.get());
  }
  answering_.emplace(std::move(wires), session_, seat_.device, busy_, faults_);
}

// ---- tasks

void Worker::run() {
  const c10::InferenceMode guard;
  for (Task task = next_task(); task.kind != Task::Kind::kStop; task = next_task()) {
    if (task.kind != Task::Kind::kWait) work(task);
  }
  flush();
  report({.kind = Report::Kind::kLast});
}

// What was sent moves on while there is nothing else to do.
Task Worker::next_task() {
  return tasks_.next([this] { attend(); });
}

void Worker::work(const Task& task) {
  // While the ends of a new pair compare themselves, neither attends to messages of the last one.
  if (session_.is_new_pair(task)) flush();
  busy_.load_s += session_.prepare(task);
  const bool only_loads = task.kind == Task::Kind::kLoad;
  if (seat_.receives()) {
    report({.kind = only_loads ? Report::Kind::kLoaded : Report::Kind::kBegun, .task = task.id});
  }
  if (only_loads) return;
  if (task.kind == Task::Kind::kCalibrate) {
    calibrate(task);
  } else if (task.kind == Task::Kind::kOnline) {
    run_online(task);
  } else {
    run_task(task);
  }
  for (const std::vector<PipeEnds>* pipes : {&pipes_, &return_pipes_}) {
    for (const PipeEnds& pipe : *pipes) {
      if (pipe.sender != nullptr) pipe.sender->forget_samples();
      if (pipe.receiver != nullptr) pipe.receiver->forget_samples();
    }
  }
}

std::vector<std::vector<const Sample*>> Worker::batches_of(const Task& task) const {
  std::vector<std::vector<const Sample*>> batches;
  for (const uint32_t index : task.samples) {
    if (batches.empty() || std::ssize(batches.back()) >= task.batch) batches.emplace_back();
    batches.back().push_back(&session_.dataset().at(index));
  }
  return batches;
}

void Worker::run_task(const Task& task) {
  for (const std::vector<const Sample*>& samples : batches_of(task)) {
    Batches batches(session_, seat_, samples);
    for (const TaskCell& cell : task.cells) run_cell(task, cell, batches);
  }
}

void Worker::run_cell(const Task& task, const TaskCell& cell, Batches& batches) {
  const auto method = make_method(cell.spec, cell.layers, session_.model_layers(), fidelity_);
  const End end = profile_of(cell.spec, fidelity_).answers_at;
  const ExchangeId exchange{.task = task.id, .cell = cell.cell, .attempt = task.attempt};
  batches.begin(exchange);
  counting(busy_.sender_flops,
           [&] { send(*method, batches.for_cell(cell.spec, exchange), &cell.spec); });
  if (!answers(end)) return report({.kind = Report::Kind::kRank});
  Batch& batch = end == End::kSender ? batches.sent.front() : batches.received;
  batch.meanwhile = [this, sends = end == End::kSender](Phase phase) {
    faults_.at(phase);
    if (sends) attend();
  };
  Report rows;
  counting(busy_.receiver_flops, [&] { rows = answering_->answer(cell, *method, batch); });
  report(std::move(rows));
}

void Worker::counting(double& flops, const std::function<void()>& work) {
  const double before = session_.flops();
  work();
  flops += session_.flops() - before;
}

bool Worker::answers(End end) const {
  if (seat_.role == Role::kBoth) return true;
  return end == End::kReceiver ? seat_.receives() : seat_.sends();
}

// Where both ends are here, nobody takes what is sent meanwhile: it must have left.
void Worker::send(const Method& method, std::span<Batch> batches, const MethodSpec* control) {
  if (method.script(/*sender=*/0).empty()) return;
  for (size_t i = 0; i < sending_.size(); ++i) {
    Batch& batch = batches[i];
    sending_[i].send(method, batch,
                     control == nullptr ? nullptr : substitute_of(*control, batch.sender()));
  }
  if (seat_.role == Role::kBoth) flush();
}

void Worker::attend() {
  for (SendingEnd& sending : sending_) sending.attend();
}

void Worker::flush() {
  for (SendingEnd& sending : sending_) sending.flush();
}

void Worker::calibrate(const Task& task) {
  const DeviceWatch watch(seat_.device);
  const RankRecord before = busy_;  // all of this counts as calibration, not by phase
  Calibration calibration(session_.model_layers(), fidelity_);
  const uint64_t bytes_before = answering_->kv_bytes();
  const double flops_before = session_.flops();
  Report out{.kind = Report::Kind::kCalibration, .task = task.id, .cell = kCalibrationCell};
  for (const std::vector<const Sample*>& samples : batches_of(task)) {
    Batches batches(session_, seat_, samples);
    batches.begin({.task = task.id, .cell = kCalibrationCell, .attempt = task.attempt});
    send(calibration.exchange(), batches.sent);
    if (seat_.receives()) answering_->calibrate(calibration, batches.received, out.failures);
  }
  flush();
  busy_ = before;
  busy_.calibration_s += watch.elapsed_s();
  busy_.calibration_flops += session_.flops() - flops_before;
  if (!seat_.receives()) return report({.kind = Report::Kind::kRank});
  out.calibration.seconds = watch.elapsed_s();
  out.calibration.bytes = answering_->kv_bytes() - bytes_before;
  if (out.failures.empty()) out.calibration.importance = calibration.importance();
  report(std::move(out));
}

// ---- online calibration

// What the layers of the cell are is known within the lane, and nothing of it is carried over to
// the next such task.
void Worker::run_online(const Task& task) {
  const auto layers = choose_layers(task);
  if (!layers) return;  // told already
  Task chosen = task;
  chosen.cells.front().layers = *layers;
  run_task(chosen);
}

std::optional<std::vector<int>> Worker::choose_layers(const Task& task) {
  const DeviceWatch watch(seat_.device);
  const RankRecord before = busy_;  // as in calibrate()
  const std::vector<const Sample*> by{&session_.dataset().at(task.chosen_by)};
  Batches batches(session_, seat_, by);
  batches.begin({.task = task.id, .cell = kCalibrationCell, .attempt = task.attempt});
  Calibration calibration(session_.model_layers(), fidelity_);
  const double flops_before = session_.flops();
  Report out{
      .kind = Report::Kind::kRecalibration, .task = task.id, .cell = task.cells.front().cell};
  send(calibration.exchange(), batches.sent);
  flush();
  std::optional<std::vector<int>> layers;
  if (seat_.receives()) {
    layers = answering_->recalibrate(task.cells.front(), calibration, batches.received, out);
  }
  for (size_t i = 0; i < batches.sent.size(); ++i) {
    layers = hear_layers(batches.sent[i], *return_pipes_[i].receiver);
  }
  busy_ = before;
  busy_.calibration_s += watch.elapsed_s();
  busy_.calibration_flops += session_.flops() - flops_before;
  if (!seat_.receives()) {
    report({.kind = Report::Kind::kRank});
  } else if (layers) {
    out.recalibration.seconds = watch.elapsed_s();
    report(std::move(out));
  } else {
    report_lost(task, out);
  }
  return layers;
}

// None where the receiver failed: it makes the rows.
std::optional<std::vector<int>> Worker::hear_layers(Batch& batch, ReceiveEnd& back) {
  try {
    return receive_layers(batch, back);
  } catch (const std::exception& error) {
    throw_if_fatal(error, back.broken(), seat_.device);
    spdlog::warn("Layers were not chosen anew: {}", reason_of(error));
    return std::nullopt;
  }
}

// Without its layers a cell cannot answer the samples of the task.
void Worker::report_lost(const Task& task, const Report& failed) {
  Report lost{.kind = Report::Kind::kRows, .task = task.id, .cell = task.cells.front().cell};
  const std::string why =
      failed.failures.empty() ? "the layers were not heard" : failed.failures.front().what;
  for (const uint32_t index : task.samples) {
    SampleRow row{.sample = index,
                  .attempt = task.attempt,
                  .sample_id = session_.dataset().at(index).id,
                  .further_scores = unscored(session_.dataset_config())};
    mark_failed(row);
    lost.rows.push_back(std::move(row));
    lost.failures.push_back(
        {.sample = index,
         .attempt = task.attempt,
         .step = failed.failures.empty() ? "recalibration" : failed.failures.front().step,
         .what = fmt::format("The layers for it could not be chosen by sample {}: {}",
                             task.chosen_by, why)});
  }
  report(std::move(lost));
}

// ---- reports

void Worker::report(Report report) {
  report.rank = so_far();
  tasks_.report(report);
}

RankRecord Worker::so_far() const {
  RankRecord record = busy_;
  record.idle_s = life_.elapsed_s() - busy_.load_s - busy_.calibration_s - busy_.sender_prefill_s -
                  busy_.wire_s - busy_.wait_s - busy_.receiver_prefill_s - busy_.decode_s;
  record.rank = tasks_.rank();
  record.host = host_name();
  record.pid = ::getpid();
  record.role = role_name(seat_.role);
  record.lane = seat_.lane;
  record.device = seat_.device.str();
  record.transport = seat_.transport;
  record.host_joules = session_.energy().host_joules();
  record.gpu_joules = session_.energy().gpu_joules();
  const MemoryPeaks peaks = memory_.peaks();
  record.peak_weights_bytes = peaks.weights;
  record.peak_kv_bytes = peaks.kv;
  record.peak_activation_bytes = peaks.activations;
  record.peak_host_bytes = peak_memory();
  record.peak_device_bytes = peak_of_device(seat_.device);
  return record;
}

}  // namespace kvcomm
