#include "sweep/lane.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/log.h"
#include "comm/open_channel.h"
#include "model/device_watch.h"
#include "score/score.h"
#include "store/process.h"
#include "sweep/announce.h"
#include "sweep/coordinator.h"
#include "sweep/layout.h"

namespace kvcomm {

namespace {

constexpr uint32_t kCalibrationCell = 0xffffffff;  // in headers: no cell's id
constexpr int kHandshakeTag = 16;  // on the lane's communicator, beside the channel's own

bool is_out_of_memory(const std::exception& error) {
  // The CPU's allocator throws no type of its own.
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         std::string_view(error.what()).find("DefaultCPUAllocator") != std::string_view::npos;
}

// The sentence alone: libtorch's errors carry a stack trace.
std::string reason_of(const std::exception& error) {
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  const std::string sentence = torch == nullptr ? error.what() : torch->what_without_backtrace();
  return is_out_of_memory(error) ? fmt::format("{}{}", kOutOfMemory, sentence) : sentence;
}

// To be called where `error` is caught: throws on what no later work can follow, which must not
// become failed rows. The two ends no longer agree on what comes next, or the device is lost.
void throw_if_fatal(const std::exception& error, const Channel* channel, at::Device device) {
  const auto* own = dynamic_cast<const Error*>(&error);
  const bool out_of_step = (channel != nullptr && channel->broken()) ||
                           (own != nullptr && own->exit() == Exit::kIntegrity);
  if (out_of_step) throw;
  if (device_works(device)) return;
  fail(Exit::kEnvironment,
       "The device {} failed and cannot go on: {}. What is stored is kept; look at the device "
       "(nvidia-smi, dmesg), then start the same command again.",
       device.str(), reason_of(error));
}

// Where a row counts payload of that kind.
uint64_t SampleRow::*column_of(Kind kind) {
  switch (kind) {
    case Kind::kKv:
      return &SampleRow::kv_bytes;
    case Kind::kTokens:
      return &SampleRow::token_bytes;
    case Kind::kVectors:
      return &SampleRow::vector_bytes;
    case Kind::kHidden:
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

Lane::Lane(const Config& config, LanePlace place, Communicator& world, Communicator& lane)
    : config_(config),
      place_(std::move(place)),
      world_(world),
      lane_(lane),
      fidelity_(fidelity_of(config)) {
  ChannelEnds ends = open_channel(
      {.transport = place_.transport,
       .sends = sends(),
       .receives = receives(),
       .peer = place_.peer,
       .channel = {.device = place_.device,
                   .timeout_s = config.run.timeout_s,
                   .peer = fmt::format("rank {} of lane {}", place_.peer, place_.lane)}},
      lane_);
  link_ = std::move(ends.link);
  outgoing_ = std::move(ends.sender);
  incoming_ = std::move(ends.receiver);
}

// ---- tasks

void Lane::run() {
  const c10::InferenceMode guard;
  for (Task task = next_task(); task.kind != Task::Kind::kStop; task = next_task()) {
    if (task.kind == Task::Kind::kWait) continue;
    prepare(task);
    if (receives()) report({.kind = Report::Kind::kBegun, .task = task.id});
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

Task Lane::next_task() {
  return decode_task(
      world_.receive(0, kTaskTag, {config_.run.timeout_s, "the next task", "rank 0's coordinator"})
          .bytes);
}

void Lane::prepare(const Task& task) {
  const bool new_pair = pair_ != task.pair;
  if (new_pair) load_pair(task.pair);
  if (new_pair || dataset_index_ != task.dataset) {
    dataset_ = load_configured_dataset(config_, task.dataset);
    dataset_index_ = task.dataset;
    prompter_.emplace(
        make_prompter(config_, config_.pairs.at(task.pair), dataset_->info, receiver_.text));
    if (config_.run.reuse_prefixes) heads_ = prompter_->heads();
  }
  if (dataset_->fingerprint != task.dataset_fingerprint) {
    fail(Exit::kUsage,
         "'{}' is not the file that rank 0 planned with (its fingerprint is {}, not {}): it "
         "changed, or "
         "this node sees another one.",
         dataset_->path.string(), dataset_->fingerprint, task.dataset_fingerprint);
  }
}

void Lane::load_pair(size_t index) {
  const DeviceWatch watch(place_.device);
  const PairConfig& pair = config_.pairs.at(index);
  const std::string sender = model_folder(config_, pair.sender).string();
  const std::string receiver = model_folder(config_, pair.receiver).string();
  const bool new_sender = sender != sender_folder_, new_receiver = receiver != receiver_folder_;
  if (receives() && (new_sender || new_receiver)) {  // one end speaks for both
    spdlog::info("{}",
                 loading_line(place_.lane, new_sender ? sender : "", new_receiver ? receiver : ""));
  }
  const auto load = [&](const std::string& folder) {
    try {
      return std::make_shared<const Decoder>(
          folder, scalar_type(config_.run.dtype), place_.device,
          fidelity_.tie_other_head ? OtherHead::kDropped : OtherHead::kUsed,
          config_.run.prefill_tokens);
    } catch (const c10::Error& error) {
      fail(Exit::kEnvironment, "The model '{}' could not be loaded onto the device {}: {}", folder,
           place_.device.str(), reason_of(error));
    }
  };
  const auto known = [&](const std::string& folder) {
    return folder == sender_folder_ && sender_.model != nullptr ? sender_
           : folder == receiver_folder_                         ? receiver_
                                                                : Agent();
  };
  Agent for_sender = sends() ? known(sender) : Agent();
  Agent for_receiver = receives() ? known(receiver) : Agent();
  const auto text = receiver == receiver_folder_ ? receiver_.text : load_text(receiver);
  // What this pair does not use goes before anything is loaded: there may be no room for both.
  sender_ = receiver_ = {};
  const auto fresh = [&](const std::string& folder) {
    return Agent{.model = load(folder), .prefixes = std::make_shared<PrefixCache>()};
  };
  if (sends() && for_sender.model == nullptr) for_sender = fresh(sender);
  if (receives() && for_receiver.model == nullptr) {
    for_receiver = sends() && sender == receiver ? for_sender : fresh(receiver);
  }
  for_sender.text = for_receiver.text = text;
  sender_ = std::move(for_sender);
  receiver_ = std::move(for_receiver);
  sender_folder_ = sender;
  receiver_folder_ = receiver;
  pair_ = index;
  busy_.load_s += watch.elapsed_s();
  compare_ends(index);
}

// What the sweep's methods send depends on these: they must be the same at both ends. The receiver
// also learns what ends the sender's words.
void Lane::compare_ends(size_t pair) {
  const ModelConfig& model = (sends() ? sender_ : receiver_).model->config();
  sender_eos_ = make_decoding(model, GeneratedBy::kModel, fidelity_, /*max_new_tokens=*/0).eos;
  if (place_.role == Role::kBoth) return;
  nlohmann::json mine = {{"wire version", kWireVersion},
                         {"dtype", to_text(config_.run.dtype)},
                         {"tokenizer", receiver_.text->tokenizer.hash()}};
  const bool one_shape = std::ranges::any_of(config_.methods, [](const MethodSpec& method) {
    return shares_layers(method) || hands_over_vectors(method);
  });
  if (one_shape) {
    mine["layers"] = model.layers;
    mine["KV heads"] = model.kv_heads;
    mine["head size"] = model.head_dim;
  }
  const std::string peer = fmt::format("rank {} of lane {}", place_.peer, place_.lane);
  nlohmann::json told = mine;
  told["eos"] = sender_eos_;
  lane_.send(told.dump(), place_.peer, kHandshakeTag,
             {config_.run.timeout_s, "the sending of the handshake", peer});
  const nlohmann::json theirs = nlohmann::json::parse(
      lane_.receive(place_.peer, kHandshakeTag, {config_.run.timeout_s, "the handshake", peer})
          .bytes);
  for (const auto& [what, value] : mine.items()) {
    if (theirs.at(what) != value) {
      fail(Exit::kIntegrity,
           "Pair '{}': the two ends of lane {} differ in their {}: {} here, {} at {}.",
           config_.pairs[pair].name, place_.lane, what, value.dump(), theirs.at(what).dump(), peer);
    }
  }
  if (!sends()) sender_eos_ = theirs.at("eos").get<std::vector<int64_t>>();
}

std::vector<std::vector<const Sample*>> Lane::batches(const Task& task) const {
  std::vector<std::vector<const Sample*>> batches;
  for (const uint32_t index : task.samples) {
    if (batches.empty() || std::ssize(batches.back()) >= task.batch) batches.emplace_back();
    batches.back().push_back(&dataset_->samples.at(index));
  }
  return batches;
}

bool Lane::answers(const Method& method) const {
  if (place_.role == Role::kBoth) return true;
  return method.answers_at() == End::kReceiver ? receives() : sends();
}

void Lane::run_task(const Task& task) {
  for (const std::vector<const Sample*>& samples : batches(task)) {
    Batch sent(setting(sender_), samples);
    Batch received(setting(receiver_), samples);
    for (const TaskCell& cell : task.cells) {
      const Turn turn{.task = task.id, .cell = cell.cell, .attempt = task.attempt};
      const auto method =
          make_method(config_.methods.at(cell.method), cell.layers, model_layers(), fidelity_);
      const bool at_sender = method->answers_at() == End::kSender;
      sent.begin(turn);
      received.begin(turn);
      if (sends() && !method->script().empty()) send_part(*method, sent);
      if (answers(*method)) {
        answer_part(task, cell, *method, at_sender ? sent : received);
      } else {
        report({.kind = Report::Kind::kRank});
      }
    }
  }
}

int64_t Lane::model_layers() const {
  return (sends() ? sender_ : receiver_).model->config().layers;
}

Setting Lane::setting(const Agent& agent) const {
  return {.agent = agent,
          .prompter = *prompter_,
          .fidelity = fidelity_,
          .max_new_tokens = max_new_tokens(config_.datasets[*dataset_index_], dataset_->info),
          .sender_eos = sender_eos_,
          .heads = heads_};
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
    throw_if_fatal(error, outgoing_.get(), place_.device);
    spdlog::warn("The sender's part failed: {}", reason_of(error));
    if (outgoing_->messages() == messages) {
      const Turn& turn = batch.turn();
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
                  .further_scores = unscored(config_.datasets[*dataset_index_])};
    if (i < batch.arrivals.size()) {
      const Arrival& arrival = batch.arrivals[i];
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
  const GeneratedBy by = generated_by(config_.methods.at(cell.method));
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
    row.answer = prompter_->said(answers[i].ids, requests[i].decoding.eos);
    row.output_tokens = answers[i].ids.size();
    const std::vector<std::string>& accepted = batch.sample(i).answers;
    row.score = score(dataset_->info.metric, row.answer, accepted);
    for (auto& [metric, further] : row.further_scores)
      further = score(metric, row.answer, accepted);
  }
}

// The answering end failed before it had accepted the sender's message: takes it off the channel.
void Lane::decline(const Method& method, const Batch& batch, const std::string& reason) {
  const Turn& turn = batch.turn();
  try {
    incoming_->accept({.kind = method.script().front().kind,
                       .task = turn.task,
                       .cell = turn.cell,
                       .attempt = turn.attempt,
                       .samples = batch.size()});
    incoming_->refuse(reason);
  } catch (const Error& error) {
    throw_if_fatal(error, incoming_.get(), place_.device);
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
    throw_if_fatal(error, incoming_.get(), place_.device);
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
  const DeviceWatch watch(place_.device);
  const RankRecord before = busy_;  // all of this counts as calibration, not by phase
  std::vector<int> all(static_cast<size_t>(model_layers()));
  std::iota(all.begin(), all.end(), 0);
  const auto method = make_kvcomm({.whole = all});
  const ops::ShareRule rule{
      .from = fidelity_.importance_from,
      .visible_plus_one = fidelity_.importance_mask == ImportanceMask::kVisiblePlusOne};
  const uint64_t bytes_before =
      incoming_ == nullptr ? 0 : incoming_->ledger().of(Kind::kKv).payload;
  std::vector<double> sum(all.size(), 0.0);
  Report out{.kind = Report::Kind::kCalibration, .task = task.id, .cell = kCalibrationCell};
  for (const std::vector<const Sample*>& samples : batches(task)) {
    const Turn turn{.task = task.id, .cell = kCalibrationCell, .attempt = task.attempt};
    Batch sent(setting(sender_), samples);
    Batch received(setting(receiver_), samples);
    sent.begin(turn);
    received.begin(turn);
    if (sends()) send_part(*method, sent);
    if (!receives()) continue;
    try {
      const std::vector<Request> requests = method->receive(received, wires());
      for (const Arrival& arrival : received.arrivals) {
        if (!arrival.failure.empty()) fail(Exit::kSomeFailed, "{}", arrival.failure);
      }
      for (const auto& importance : context_importance(*receiver_.model, requests, rule)) {
        for (size_t layer = 0; layer < sum.size(); ++layer) {
          sum[layer] += importance[layer];
          if (std::isfinite(sum[layer])) continue;
          fail(Exit::kSomeFailed, "The importance of layer {} is not finite: the weights hold NaN.",
               layer);
        }
      }
    } catch (const std::exception& error) {
      throw_if_fatal(error, incoming_.get(), place_.device);
      incoming_->abandon(reason_of(error));
      out.failures.push_back({.sample = samples.front()->index,
                              .attempt = task.attempt,
                              .step = "calibration",
                              .what = reason_of(error)});
    }
  }
  busy_ = before;
  busy_.calibration_s += watch.elapsed_s();
  if (!receives()) return report({.kind = Report::Kind::kRank});
  out.calibration.seconds = watch.elapsed_s();
  out.calibration.bytes = incoming_->ledger().of(Kind::kKv).payload - bytes_before;
  if (out.failures.empty()) {
    for (double& value : sum) value /= static_cast<double>(task.samples.size());
    out.calibration.importance = std::move(sum);
  }
  report(out);
}

// ---- reports

void Lane::report(const Report& message) {
  Report out = message;
  out.rank = so_far();
  world_.send(encode(out), 0, kReportTag,
              {config_.run.timeout_s, "the sending of a report", "rank 0's coordinator"});
}

RankRecord Lane::so_far() const {
  RankRecord record = busy_;
  record.idle_s = life_.elapsed_s() - busy_.load_s - busy_.calibration_s - busy_.sender_prefill_s -
                  busy_.wire_s - busy_.wait_s - busy_.receiver_prefill_s - busy_.decode_s;
  record.rank = world_.rank();
  record.host = host_name();
  record.pid = ::getpid();
  record.role = role_name(place_.role);
  record.lane = place_.lane;
  record.device = place_.device.str();
  record.transport = place_.transport;
  record.peak_host_bytes = peak_memory();
  record.peak_device_bytes = peak_of_device(place_.device);
  return record;
}

}  // namespace kvcomm
