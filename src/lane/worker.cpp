#include "lane/worker.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include "base/error.h"
#include "method/calibration.h"
#include "method/method.h"
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
  Batches(const PairSession& session, std::span<const Sample* const> samples)
      : sent(session.sender(), session.terms(), samples),
        received(session.receiver(), session.terms(), samples) {}

  void begin(const ExchangeId& exchange) {
    sent.begin(exchange);
    received.begin(exchange);
  }

  Batch sent, received;
};

Worker::Worker(const Config& config, Seat seat, TaskLink& tasks, Communicator* lane)
    : config_(config),
      seat_(std::move(seat)),
      tasks_(tasks),
      session_(config, seat_, lane),
      fidelity_(fidelity_of(config)) {
  open_pipes(lane);
}

void Worker::open_pipes(Communicator* lane) {
  std::vector<ReceiveEnd*> incoming;
  const SendEnd* outgoing = nullptr;
  for (const int peer : seat_.pipe_peers()) {
    const PipeEnds& pipe = pipes_.emplace_back(
        open_ends({.transport = seat_.transport,
                   .sends = seat_.sends(),
                   .receives = seat_.receives(),
                   .peer = peer,
                   .end = {.device = seat_.device,
                           .timeout_s = config_.run.timeout_s,
                           .peer = fmt::format("rank {} of lane {}", peer, seat_.lane)}},
                  lane));
    if (pipe.sender != nullptr) {
      sending_.emplace(*pipe.sender, seat_.device, busy_);
      outgoing = pipe.sender.get();
    }
    if (pipe.receiver != nullptr) incoming.push_back(pipe.receiver.get());
  }
  answering_.emplace(std::move(incoming), outgoing, session_, seat_.device, busy_);
}

// ---- tasks

void Worker::run() {
  const c10::InferenceMode guard;
  for (Task task = next_task(); task.kind != Task::Kind::kStop; task = next_task()) {
    if (task.kind != Task::Kind::kWait) work(task);
  }
  if (sending_) sending_->flush();
  report({.kind = Report::Kind::kLast});
}

// What was sent moves on while there is nothing else to do.
Task Worker::next_task() {
  return tasks_.next([this] {
    if (sending_) sending_->attend();
  });
}

void Worker::work(const Task& task) {
  // While the ends of a new pair compare themselves, neither attends to messages of the last one.
  if (sending_ && session_.is_new_pair(task)) sending_->flush();
  busy_.load_s += session_.prepare(task);
  if (seat_.receives()) report({.kind = Report::Kind::kBegun, .task = task.id});
  if (task.kind == Task::Kind::kCalibrate) {
    calibrate(task);
  } else {
    run_task(task);
  }
  for (const PipeEnds& pipe : pipes_) {
    if (pipe.sender != nullptr) pipe.sender->forget_samples();
    if (pipe.receiver != nullptr) pipe.receiver->forget_samples();
  }
}

std::vector<std::vector<const Sample*>> Worker::batches_of(const Task& task) const {
  std::vector<std::vector<const Sample*>> batches;
  for (const uint32_t index : task.samples) {
    if (batches.empty() || std::ssize(batches.back()) >= task.batch) batches.emplace_back();
    batches.back().push_back(&session_.dataset().samples.at(index));
  }
  return batches;
}

void Worker::run_task(const Task& task) {
  for (const std::vector<const Sample*>& samples : batches_of(task)) {
    Batches batches(session_, samples);
    for (const TaskCell& cell : task.cells) run_cell(task, cell, batches);
  }
}

void Worker::run_cell(const Task& task, const TaskCell& cell, Batches& batches) {
  const auto method = make_method(cell.spec, cell.layers, session_.model_layers(), fidelity_);
  const End end = profile_of(cell.spec, fidelity_).answers_at;
  batches.begin({.task = task.id, .cell = cell.cell, .attempt = task.attempt});
  send(*method, batches.sent);
  if (!answers(end)) return report({.kind = Report::Kind::kRank});
  if (sending_) batches.sent.meanwhile = [this] { sending_->attend(); };
  report(answering_->answer(cell, *method, end == End::kSender ? batches.sent : batches.received));
}

bool Worker::answers(End end) const {
  if (seat_.role == Role::kBoth) return true;
  return end == End::kReceiver ? seat_.receives() : seat_.sends();
}

// Where both ends are here, nobody takes what is sent meanwhile: it must have left.
void Worker::send(const Method& method, Batch& batch) {
  if (!sending_ || method.script().empty()) return;
  sending_->send(method, batch);
  if (seat_.role == Role::kBoth) sending_->flush();
}

void Worker::calibrate(const Task& task) {
  const DeviceWatch watch(seat_.device);
  const RankRecord before = busy_;  // all of this counts as calibration, not by phase
  Calibration calibration(session_.model_layers(), fidelity_);
  const uint64_t bytes_before = answering_->kv_bytes();
  Report out{.kind = Report::Kind::kCalibration, .task = task.id, .cell = kCalibrationCell};
  for (const std::vector<const Sample*>& samples : batches_of(task)) {
    Batches batches(session_, samples);
    batches.begin({.task = task.id, .cell = kCalibrationCell, .attempt = task.attempt});
    send(calibration.exchange(), batches.sent);
    if (seat_.receives()) answering_->calibrate(calibration, batches.received, out.failures);
  }
  if (sending_) sending_->flush();
  busy_ = before;
  busy_.calibration_s += watch.elapsed_s();
  if (!seat_.receives()) return report({.kind = Report::Kind::kRank});
  out.calibration.seconds = watch.elapsed_s();
  out.calibration.bytes = answering_->kv_bytes() - bytes_before;
  if (out.failures.empty()) out.calibration.importance = calibration.importance();
  report(std::move(out));
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
  record.peak_host_bytes = peak_memory();
  record.peak_device_bytes = peak_of_device(seat_.device);
  return record;
}

}  // namespace kvcomm
