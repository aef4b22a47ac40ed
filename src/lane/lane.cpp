#include "lane/lane.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "comm/open_channel.h"
#include "lane/failures.h"
#include "method/calibration.h"
#include "model/device_watch.h"
#include "score/score.h"
#include "store/process.h"

namespace kvcomm {

namespace {

constexpr uint32_t kCalibrationCell = 0xffffffff;  // in headers: no cell's id
// Where a row counts payload of that kind.
uint64_t SampleRow::*column_of(PayloadKind kind) {
  switch (kind) {
    case PayloadKind::kKv:
      return &SampleRow::kv_bytes;
    case PayloadKind::kTokens:
      return &SampleRow::token_bytes;
    case PayloadKind::kVectors:
      return &SampleRow::vector_bytes;
    case PayloadKind::kHidden:
      return &SampleRow::hidden_bytes;
  }
  fail(Exit::kInternal, "Kind {} has no column.", static_cast<int>(kind));
}

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

Lane::Lane(const Config& config, Seat seat, TaskLink& tasks, Communicator* lane)
    : config_(config),
      seat_(std::move(seat)),
      tasks_(tasks),
      session_(config, seat_, lane),
      fidelity_(fidelity_of(config)) {
  ChannelEnds ends =
      open_channel({.transport = seat_.transport,
                    .sends = seat_.sends(),
                    .receives = seat_.receives(),
                    .peer = seat_.peer,
                    .channel = {.device = seat_.device,
                                .timeout_s = config.run.timeout_s,
                                .peer = fmt::format("rank {} of lane {}", seat_.peer, seat_.lane)}},
                   lane);
  link_ = std::move(ends.link);
  outgoing_ = std::move(ends.sender);
  incoming_ = std::move(ends.receiver);
}

// ---- tasks

void Lane::run() {
  const c10::InferenceMode guard;
  for (Task task = tasks_.next(); task.kind != Task::Kind::kStop; task = tasks_.next()) {
    if (task.kind == Task::Kind::kWait) continue;
    busy_.load_s += session_.prepare(task);
    if (seat_.receives()) report({.kind = Report::Kind::kBegun, .task = task.id});
    if (task.kind == Task::Kind::kCalibrate) {
      calibrate(task);
    } else {
      run_task(task);
    }
    if (outgoing_ != nullptr) outgoing_->forget_samples();
    if (incoming_ != nullptr) incoming_->forget_samples();
  }
  report({.kind = Report::Kind::kLast});
}

std::vector<std::vector<const Sample*>> Lane::batches(const Task& task) const {
  std::vector<std::vector<const Sample*>> batches;
  for (const uint32_t index : task.samples) {
    if (batches.empty() || std::ssize(batches.back()) >= task.batch) batches.emplace_back();
    batches.back().push_back(&session_.dataset().samples.at(index));
  }
  return batches;
}

bool Lane::answers(End end) const {
  if (seat_.role == Role::kBoth) return true;
  return end == End::kReceiver ? seat_.receives() : seat_.sends();
}

void Lane::run_task(const Task& task) {
  for (const std::vector<const Sample*>& samples : batches(task)) {
    Batch sent(session_.setting(session_.sender()), samples);
    Batch received(session_.setting(session_.receiver()), samples);
    for (const TaskCell& cell : task.cells) {
      const ExchangeId turn{.task = task.id, .cell = cell.cell, .attempt = task.attempt};
      const auto method = make_method(cell.spec, cell.layers, session_.model_layers(), fidelity_);
      const End end = profile_of(cell.spec, fidelity_).answers_at;
      sent.begin(turn);
      received.begin(turn);
      if (seat_.sends() && !method->script().empty()) send_part(*method, sent);
      if (answers(end)) {
        answer_part(task, cell, *method, end == End::kSender ? sent : received);
      } else {
        report({.kind = Report::Kind::kRank});
      }
    }
  }
}

// ---- the sender's part

// Whatever fails here is told to the receiver, which makes the rows; only a broken transport ends
// the job.
void Lane::send_part(const Method& method, Batch& batch) {
  const Stopwatch watch;
  const uint64_t messages = outgoing_->messages();
  const Work before = batch.ran();
  const Seconds waited_before_s = outgoing_->waited_s();
  try {
    method.send(batch, *outgoing_);
  } catch (const std::exception& error) {
    throw_if_fatal(error, outgoing_.get(), seat_.device);
    spdlog::warn("The sender's part failed: {}", reason_of(error));
    if (outgoing_->messages() == messages) {
      const ExchangeId& turn = batch.turn();
      outgoing_->offer({.task = turn.task,
                        .cell = turn.cell,
                        .attempt = turn.attempt,
                        .kind = method.script().front().kind,
                        .failure = reason_of(error)});
    } else {
      outgoing_->abandon(reason_of(error));
    }
  }
  const Work ran{batch.ran().prefill_s - before.prefill_s, batch.ran().decode_s - before.decode_s};
  busy_.sender_prefill_s += ran.prefill_s;
  busy_.decode_s += ran.decode_s;
  count_wire(watch.elapsed_s(), ran, outgoing_->waited_s() - waited_before_s);
}

// Of an exchange's seconds: what is neither the model's work nor waiting for the peer's is the
// wire's.
void Lane::count_wire(Seconds all_s, const Work& model, Seconds wait_s) {
  busy_.wait_s += wait_s;
  busy_.wire_s += std::max(0.0, all_s - model.prefill_s - model.decode_s - wait_s);
}

// ---- the answering end's part

std::vector<Channel*> Lane::wires() const {
  return incoming_ == nullptr ? std::vector<Channel*>{} : std::vector<Channel*>{incoming_.get()};
}

std::vector<SampleRow> Lane::rows_of(const TaskCell& cell, const Method& method,
                                     const Batch& batch) const {
  std::vector<SampleRow> rows;
  const std::vector<ScriptMessage> script = method.script();
  for (size_t i = 0; i < batch.size(); ++i) {
    const Sample& sample = *batch.samples()[i];
    SampleRow row{.sample = sample.index,
                  .attempt = batch.turn().attempt,
                  .sample_id = sample.id,
                  .further_scores = unscored(session_.dataset_config())};
    if (i < batch.arrivals.size()) {
      const ReceivedSample& arrival = batch.arrivals[i];
      row.context_tokens = static_cast<uint64_t>(arrival.context_tokens);
      row.layers_sent = static_cast<uint64_t>(arrival.layers);
      row.sender_prefill_s = arrival.sender_prefill_s;
      row.sender_decode_s = arrival.sender_decode_s;
      row.wire_exposed_s = arrival.wire_exposed_s;
      row.wire_hidden_s = arrival.wire_hidden_s;
    }
    if (incoming_ != nullptr && !script.empty()) {
      const Bytes bytes =
          incoming_->ledger().of_sample(cell.cell, sample.index, batch.turn().attempt);
      row.payload_bytes = row.*column_of(script.front().kind) = bytes.payload;
      row.header_bytes = bytes.header;
      row.layer_bytes =
          incoming_->ledger().kv_layers_of_sample(cell.cell, sample.index, batch.turn().attempt);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

void Lane::fill_answers(std::vector<SampleRow>& rows, std::vector<Request> requests,
                        const TaskCell& cell, Batch& batch) {
  const GeneratedBy by = profile_of(cell.spec, fidelity_).generated_by;
  for (size_t i = 0; i < requests.size(); ++i) {
    rows[i].prompt_tokens = requests[i].prompt.size();
    requests[i].decoding = batch.decoding(by, batch.max_new_tokens());
  }
  const std::vector<Answer> answers = batch.answer(requests);
  for (size_t i = 0; i < answers.size(); ++i) {
    SampleRow& row = rows[i];
    row.receiver_prefill_s = batch.generated()[i].prefill_s;
    row.decode_s = batch.generated()[i].decode_s;
    if (row.failed) continue;
    row.answer = session_.prompts().said(answers[i].ids, requests[i].decoding.eos);
    row.output_tokens = answers[i].ids.size();
    const std::vector<std::string>& accepted = batch.sample(i).answers;
    row.score = score(session_.dataset().info.metric, row.answer, accepted);
    for (auto& [metric, further] : row.further_scores)
      further = score(metric, row.answer, accepted);
  }
}

// The answering end failed before it had accepted the sender's message: takes it off the channel.
void Lane::decline(const Method& method, const Batch& batch, const std::string& reason) {
  const ExchangeId& turn = batch.turn();
  try {
    incoming_->accept({.kind = method.script().front().kind,
                       .task = turn.task,
                       .cell = turn.cell,
                       .attempt = turn.attempt,
                       .samples = batch.size()});
    incoming_->refuse(reason);
  } catch (const Error& error) {
    throw_if_fatal(error, incoming_.get(), seat_.device);
    spdlog::warn("{}", error.what());  // the sender's part failed too
  }
}

void Lane::answer_part(const Task& task, const TaskCell& cell, const Method& method, Batch& batch) {
  Report out{.kind = Report::Kind::kRows, .task = task.id, .cell = cell.cell};
  const auto fail_row = [&](SampleRow& row, const std::string& step, const std::string& what) {
    row.failed = true;
    row.answer.clear();
    row.score = 0;
    out.failures.push_back(
        {.sample = row.sample, .attempt = row.attempt, .step = step, .what = what});
  };
  std::string step = "receive";
  const uint64_t messages = incoming_ == nullptr ? 0 : incoming_->messages();
  const Work before = batch.ran();
  const bool waits = !method.script().empty();
  const Seconds waited_before_s = incoming_ == nullptr ? 0 : incoming_->waited_s();
  try {
    const Stopwatch watch;
    std::vector<Request> requests = method.receive(batch, wires());
    const Work first{batch.ran().prefill_s - before.prefill_s,
                     batch.ran().decode_s - before.decode_s};
    if (waits) count_wire(watch.elapsed_s(), first, incoming_->waited_s() - waited_before_s);
    out.rows = rows_of(cell, method, batch);
    for (size_t i = 0; i < batch.arrivals.size(); ++i) {
      if (!batch.arrivals[i].failure.empty())
        fail_row(out.rows[i], "wire", batch.arrivals[i].failure);
    }
    step = "answer";
    fill_answers(out.rows, std::move(requests), cell, batch);
  } catch (const std::exception& error) {
    throw_if_fatal(error, incoming_.get(), seat_.device);
    if (waits && incoming_->messages() == messages) {
      decline(method, batch, reason_of(error));
    } else if (incoming_ != nullptr) {
      incoming_->abandon(reason_of(error));
    }
    out.failures.clear();
    out.rows = rows_of(cell, method, batch);
    for (SampleRow& row : out.rows) fail_row(row, step, reason_of(error));
  }
  busy_.receiver_prefill_s += batch.ran().prefill_s - before.prefill_s;
  busy_.decode_s += batch.ran().decode_s - before.decode_s;
  report(out);
}

// ---- calibration

void Lane::calibrate(const Task& task) {
  const DeviceWatch watch(seat_.device);
  const RankRecord before = busy_;  // all of this counts as calibration, not by phase
  Calibration calibration(session_.model_layers(), fidelity_);
  const uint64_t bytes_before =
      incoming_ == nullptr ? 0 : incoming_->ledger().of(PayloadKind::kKv).payload;
  Report out{.kind = Report::Kind::kCalibration, .task = task.id, .cell = kCalibrationCell};
  for (const std::vector<const Sample*>& samples : batches(task)) {
    const ExchangeId turn{.task = task.id, .cell = kCalibrationCell, .attempt = task.attempt};
    Batch sent(session_.setting(session_.sender()), samples);
    Batch received(session_.setting(session_.receiver()), samples);
    sent.begin(turn);
    received.begin(turn);
    if (seat_.sends()) send_part(calibration.exchange(), sent);
    if (!seat_.receives()) continue;
    try {
      calibration.add(received, calibration.exchange().receive(received, wires()));
    } catch (const std::exception& error) {
      throw_if_fatal(error, incoming_.get(), seat_.device);
      incoming_->abandon(reason_of(error));
      out.failures.push_back({.sample = samples.front()->index,
                              .attempt = task.attempt,
                              .step = "calibration",
                              .what = reason_of(error)});
    }
  }
  busy_ = before;
  busy_.calibration_s += watch.elapsed_s();
  if (!seat_.receives()) return report({.kind = Report::Kind::kRank});
  out.calibration.seconds = watch.elapsed_s();
  out.calibration.bytes = incoming_->ledger().of(PayloadKind::kKv).payload - bytes_before;
  if (out.failures.empty()) out.calibration.importance = calibration.importance();
  report(out);
}

// ---- reports

void Lane::report(const Report& message) {
  Report out = message;
  out.rank = so_far();
  tasks_.report(out);
}

RankRecord Lane::so_far() const {
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
