#include "lane/answering_end.h"

#include <spdlog/spdlog.h>

#include "lane/failures.h"
#include "lane/phases.h"
#include "lane/sample_rows.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

// first: of all work what came before the last prompt; beside: it was done while the senders did
// theirs.
void count_work(SampleRow& row, const Work& first, const Work& all, bool beside) {
  const Seconds senders_s = row.ttft_s;  // so far
  row.receiver_input_tokens = static_cast<uint64_t>(all.input_tokens);
  row.receiver_output_tokens = static_cast<uint64_t>(all.output_tokens);
  row.receiver_prefill_s = all.prefill_s;
  row.decode_s = all.decode_s;
  row.receiver_joules = all.joules;
  const Seconds first_s = first.prefill_s + first.decode_s;
  row.ttft_s = (beside ? std::max(senders_s, first_s) : senders_s + first_s) + all.prefill_s -
               first.prefill_s;
}

// What failed with all of a batch: the work, unless something did not arrive as it was sent.
std::string step_of(const Batch& batch, const char* work) {
  const bool altered = std::ranges::any_of(batch.arrivals, &ReceivedSample::altered);
  return altered ? kAlteredStep : work;
}

}  // namespace

Report AnsweringEnd::answer(const TaskCell& cell, const Method& method, Batch& batch) {
  Report out{.kind = Report::Kind::kRows, .task = batch.exchange().task, .cell = cell.cell};
  const std::vector<uint64_t> messages_before = messages();
  const PhaseWatch watch(batch, waited_s());
  const auto fail_row = [&](SampleRow& row, const std::string& step, const std::string& what) {
    mark_failed(row);
    out.failures.push_back(
        {.sample = row.sample, .attempt = row.attempt, .step = step, .what = what});
  };
  std::string step = "receive";
  try {
    std::vector<Request> requests = receive(method, batch);
    out.rows = sample_rows(batch, method, wires_, session_.dataset_config());
    for (size_t i = 0; i < batch.arrivals.size(); ++i) {
      const ReceivedSample& arrival = batch.arrivals[i];
      if (arrival.failure.empty()) continue;
      fail_row(out.rows[i], arrival.altered ? kAlteredStep : "wire", arrival.failure);
    }
    step = "answer";
    ask(std::move(requests), cell, batch, out.rows);
  } catch (const std::exception& error) {
    give_up(method, batch, error, messages_before);
    out.failures.clear();
    out.rows = sample_rows(batch, method, wires_, session_.dataset_config());
    for (SampleRow& row : out.rows) fail_row(row, step, reason_of(error));
  }
  busy_.receiver_prefill_s += watch.ran().prefill_s;
  busy_.decode_s += watch.ran().decode_s;
  return out;
}

void AnsweringEnd::calibrate(Calibration& calibration, Batch& batch,
                             std::vector<FailureRecord>& failures) {
  const std::vector<uint64_t> messages_before = messages();
  try {
    calibration.add(batch, receive(calibration.exchange(), batch));
  } catch (const std::exception& error) {
    give_up(calibration.exchange(), batch, error, messages_before);
    failures.push_back({.sample = batch.sample(0).index,
                        .attempt = batch.exchange().attempt,
                        .step = step_of(batch, "calibration"),
                        .what = reason_of(error)});
  }
}

std::optional<std::vector<int>> AnsweringEnd::recalibrate(const TaskCell& cell,
                                                          Calibration& calibration, Batch& batch,
                                                          Report& out) {
  const std::vector<uint64_t> messages_before = messages();
  const uint64_t bytes_before = kv_bytes(), back_before = back_bytes();
  try {
    out.recalibration = chosen(cell, calibration, batch);
  } catch (const std::exception& error) {
    give_up(calibration.exchange(), batch, error, messages_before);
    const std::string reason = reason_of(error);
    for (SendEnd* back : back_) {
      back->offer(failure_header(batch.exchange(), PayloadKind::kLayers, reason));
      back->flush();
    }
    out.failures.push_back({.sample = batch.sample(0).index,
                            .attempt = batch.exchange().attempt,
                            .step = step_of(batch, "recalibration"),
                            .what = reason});
    return std::nullopt;
  }
  for (SendEnd* back : back_) {
    send_layers(batch, *back, out.recalibration.layers);
    back->flush();
  }
  out.recalibration.bytes = kv_bytes() - bytes_before;
  out.recalibration.return_bytes = back_bytes() - back_before;
  return out.recalibration.layers;
}

RecalibrationRecord AnsweringEnd::chosen(const TaskCell& cell, Calibration& calibration,
                                         Batch& batch) {
  std::vector<Request> requests = receive(calibration.exchange(), batch);
  calibration.add(batch, requests);
  RecalibrationRecord record{.sample = batch.sample(0).index,
                             .importance = calibration.importance()};
  record.layers = type_of(cell.spec)
                      .choose(cell.spec, record.importance,
                              static_cast<int>(record.importance.size()), batch.fidelity())
                      .layers();
  std::vector<SampleRow> rows =
      sample_rows(batch, calibration.exchange(), wires_, session_.dataset_config());
  ask(std::move(requests), cell, batch, rows);
  record.answer = rows.front().answer;
  record.score = rows.front().score;
  return record;
}

std::vector<Request> AnsweringEnd::receive(const Method& method, Batch& batch) {
  const PhaseWatch watch(batch, waited_s());
  std::vector<Request> requests = method.receive(batch, wires_);
  if (!method.script(/*sender=*/0).empty()) watch.count_wire(busy_, waited_s());
  return requests;
}

void AnsweringEnd::ask(std::vector<Request> requests, const TaskCell& cell, Batch& batch,
                       std::vector<SampleRow>& rows) {
  const Profile profile = profile_of(cell.spec, batch.fidelity());
  for (size_t i = 0; i < requests.size(); ++i) {
    rows[i].prompt_tokens = requests[i].prompt.size();
    requests[i].decoding = batch.decoding(profile.generated_by, batch.max_new_tokens());
  }
  const std::vector<Work> first = batch.generated();  // of answers that came before
  faults_.at(Phase::kPrefill);
  const std::vector<Answer> answers = batch.answer(requests);
  for (size_t i = 0; i < answers.size(); ++i) {
    count_work(rows[i], first[i], batch.generated()[i], profile.refines);
    if (rows[i].failed) continue;
    rows[i].output_tokens = answers[i].ids.size();
    score_row(rows[i], session_.prompts().said(answers[i].ids, requests[i].decoding.eos),
              session_.dataset().info.metric, batch.sample(i).answers);
  }
}

bool AnsweringEnd::broken() const {
  return std::ranges::any_of(outgoing_, &SendEnd::broken) ||
         std::ranges::any_of(back_, &SendEnd::broken) ||
         std::ranges::any_of(wires_, &ReceiveEnd::broken);
}

std::vector<uint64_t> AnsweringEnd::messages() const {
  std::vector<uint64_t> messages;
  for (const ReceiveEnd* wire : wires_) messages.push_back(wire->messages());
  return messages;
}

Seconds AnsweringEnd::waited_s() const {
  Seconds waited_s = 0;
  for (const ReceiveEnd* wire : wires_) waited_s += wire->waited_s();
  return waited_s;
}

uint64_t AnsweringEnd::kv_bytes() const {
  uint64_t bytes = 0;
  for (const ReceiveEnd* wire : wires_) bytes += wire->ledger().of(PayloadKind::kKv).payload;
  return bytes;
}

uint64_t AnsweringEnd::back_bytes() const {
  uint64_t bytes = 0;
  for (const SendEnd* back : back_) bytes += back->ledger().of(PayloadKind::kLayers).payload;
  return bytes;
}

// The work on an exchange failed: what the senders have for it is taken off the wires, so that the
// next exchange finds its own.
void AnsweringEnd::give_up(const Method& method, const Batch& batch, const std::exception& error,
                           std::span<const uint64_t> messages_before) {
  throw_if_fatal(error, broken(), device_);
  const auto attempt = [&](auto&& work) {
    try {
      work();
    } catch (const std::exception& further) {
      throw_if_fatal(further, broken(), device_);
      spdlog::warn("{}", reason_of(further));
    }
  };
  for (size_t w = 0; w < wires_.size(); ++w) {
    ReceiveEnd& wire = *wires_[w];
    const std::vector<ScriptMessage> script = method.script(w);
    attempt([&] { wire.settle(reason_of(error)); });
    for (size_t i = wire.messages() - messages_before[w]; i < script.size(); ++i) {
      attempt([&] {
        IncomingMessage message =
            wire.next(expected(batch.exchange(), script[i].kind, batch.size()));
        if (message.header().failure.empty()) message.refuse(reason_of(error));
      });
    }
  }
}

}  // namespace kvcomm
