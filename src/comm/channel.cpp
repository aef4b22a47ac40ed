#include "comm/channel.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace kvcomm {

std::vector<at::Tensor> allocate(const Header& header, at::TensorOptions options) {
  std::vector<at::Tensor> tensors;
  for (const TensorSpec& spec : header.tensors) {
    tensors.push_back(at::empty(shape_of(spec, header), options.dtype(spec.dtype)));
  }
  return tensors;
}

size_t end_of_layer(const Header& header, size_t begin) {
  size_t end = begin + 1;
  while (end < header.tensors.size() && header.tensors[end].layer == header.tensors[begin].layer) {
    ++end;
  }
  return end;
}

std::string Channel::describe(const Header& header) const {
  return fmt::format("{} message of task {}, cell {}, attempt {}", name(header.kind), header.task,
                     header.cell, header.attempt);
}

void Channel::require_state(State state, const char* call) const {
  if (state_ == state) return;
  fail(Exit::kInternal, "Channel::{} out of turn (state {}, needs {}), last with the {}.", call,
       static_cast<int>(state_), static_cast<int>(state), describe(header_));
}

void Channel::send_counted(ControlMessage note, std::string bytes) {
  ledger_.count_header(header_, bytes.size());
  send_control(note, std::move(bytes));
}

// How many samples the peer generates for before it comes to this exchange; one stands for none.
size_t Channel::generated_samples(PayloadKind kind, size_t samples) const {
  return kind == PayloadKind::kTokens || kind == PayloadKind::kVectors
             ? std::max<size_t>(samples, 1)
             : 1;
}

std::string Channel::receive_control(ControlMessage note, std::string what,
                                     size_t samples_generated) {
  const Stopwatch watch;
  std::optional<std::string> bytes;
  deadline(std::move(what), samples_generated).require([&] {
    progress();
    return (bytes = poll_control(note)).has_value();
  });
  waited_s_ += watch.elapsed_s();
  return std::move(*bytes);
}

// Waits quickly while payload comes. A tensor is summed as soon as it is there: it still lies in a
// cache then, and the next ones move meanwhile.
std::string Channel::receive_trailer() {
  const Deadline limit = deadline("the end of the " + describe(header_));
  std::optional<std::string> bytes;
  size_t whole = 0;
  uint64_t whole_bytes = 0;  // of so many tensors
  while (!bytes) {
    const Stopwatch watch;
    limit.require([&, before = arrived_bytes()] {
      progress();
      return (bytes = poll_control(ControlMessage::kTrailer)).has_value() ||
             arrived_bytes() != before;
    });
    waited_s_ += watch.elapsed_s();
    for (; whole < tensors_.size() && tensors_[whole].is_cpu(); ++whole) {
      if (whole_bytes + tensors_[whole].nbytes() > arrived_bytes()) break;
      whole_bytes += tensors_[whole].nbytes();
    }
    sum(std::span(tensors_).first(whole));
  }
  return std::move(*bytes);
}

// Sums the message's first tensors, as far as they are not yet.
void Channel::sum(std::span<const at::Tensor> tensors) {
  for (; summed_ < tensors.size(); ++summed_) {
    sums_.add(tensors[summed_], header_.tensors[summed_], header_);
    progress();
  }
}

void Channel::end_message() {
  ledger_.end(header_);
  tensors_.clear();
  state_ = State::kIdle;
}

// ---- sender

void Channel::offer(const Header& header) {
  require_state(State::kIdle, "offer");
  if (header.failure.empty() && header.samples.empty()) {
    fail(Exit::kInternal, "Offered a {} without samples.", describe(header));
  }
  for (const TensorSpec& spec : header.tensors) {
    if (header.kind == PayloadKind::kKv && spec.layer < 0) {
      fail(Exit::kInternal, "Offered a {} with a tensor of no layer.", describe(header));
    }
  }
  header_ = header;
  tensors_.clear();
  sent_ = summed_ = 0;
  answer_.reset();
  sums_ = MessageSums(options_.checksums);
  ledger_.begin(header_);
  state_ = State::kBroken;  // until the transport has taken it; likewise below
  send_counted(ControlMessage::kHeader, encode(header_));
  state_ = State::kOffered;
  ++messages_;
  if (!header_.failure.empty()) end_message();
}

void Channel::check_tensor(const at::Tensor& tensor, size_t index) const {
  if (index >= header_.tensors.size()) {
    fail(Exit::kInternal, "The {} announced {} tensors, and one more was put.", describe(header_),
         header_.tensors.size());
  }
  const TensorSpec& spec = header_.tensors[index];
  const std::vector<int64_t> shape = shape_of(spec, header_);
  if (tensor.sizes() != at::IntArrayRef(shape) || tensor.scalar_type() != spec.dtype ||
      !tensor.is_contiguous() || tensor.device().type() != options_.device.type()) {
    fail(Exit::kInternal,
         "Tensor {} (layer {}) of the {} was put as {} [{}] ({}, on {}), but it must be {} [{}], "
         "contiguous, on {}.",
         index, spec.layer, describe(header_), c10::toString(tensor.scalar_type()),
         fmt::join(tensor.sizes(), ", "), tensor.is_contiguous() ? "contiguous" : "not contiguous",
         tensor.device().str(), c10::toString(spec.dtype), fmt::join(shape, ", "),
         options_.device.str());
  }
}

void Channel::read_answer(const std::string& bytes) {
  ledger_.count_header(header_, bytes.size());
  answer_ = decode_answer(bytes);
  if (!answer_->empty()) end_message();
}

// Sends what has been put, as far as its layers are whole; on the CPU it is summed while it moves.
void Channel::send_whole_layers() {
  while (sent_ < tensors_.size()) {
    const size_t end = end_of_layer(header_, sent_);
    if (end > tensors_.size()) break;
    const auto layer = std::span(tensors_).subspan(sent_, end - sent_);
    send_together(layer);
    for (; sent_ < end; ++sent_) {
      ledger_.count_payload(header_, header_.tensors[sent_], tensors_[sent_]);
    }
  }
  sum(std::span(tensors_).first(sent_));
}

// On a GPU the sums are queued first: they take memory, and if there is none nothing is kept.
void Channel::keep(const at::Tensor& tensor) {
  if (!tensor.is_cpu()) {
    sums_.add(tensor, header_.tensors[tensors_.size()], header_);
    ++summed_;
  }
  tensors_.push_back(tensor);
}

void Channel::fail_refused() const {
  fail(Exit::kSomeFailed, "{} refused the {}: {}", options_.peer, describe(header_), *answer_);
}

void Channel::put(const at::Tensor& tensor) {
  require_state(State::kOffered, "put");
  check_tensor(tensor, tensors_.size());
  keep(tensor);
  state_ = State::kBroken;
  progress();
  if (!answer_) {
    if (const auto bytes = poll_control(ControlMessage::kAnswer)) read_answer(*bytes);
    if (state_ == State::kIdle) fail_refused();
  }
  if (answer_) send_whole_layers();
  state_ = State::kOffered;
}

void Channel::await_answer() {
  if (!answer_) {
    read_answer(receive_control(ControlMessage::kAnswer,
                                "the answer to the header of the " + describe(header_),
                                generated_samples(header_.kind, header_.samples.size())));
  }
}

void Channel::finish(const SenderTimes& times, const std::string& failure) {
  send_whole_layers();
  const WireTimes wire = finish_sends(times.work_ended_at_s);
  const Trailer trailer{.sender_prefill_s = times.prefill_s,
                        .sender_decode_s = times.decode_s,
                        .exposed_s = wire.exposed_s,
                        .hidden_s = wire.hidden_s,
                        .payload_bytes = ledger_.trace().back().payload,
                        .sums = sums_.values(),
                        .failure = failure};
  send_counted(ControlMessage::kTrailer, encode(trailer));
  end_message();
}

void Channel::close(const SenderTimes& times) {
  require_state(State::kOffered, "close");
  if (tensors_.size() != header_.tensors.size()) {
    fail(Exit::kInternal, "The {} was closed after {} of its {} tensors.", describe(header_),
         tensors_.size(), header_.tensors.size());
  }
  state_ = State::kBroken;
  await_answer();
  if (state_ == State::kIdle) fail_refused();
  finish(times, "");
}

// A tensor of the message's shape, sent in place of one that will not come: one that was put
// already if there is any, since memory may be what has failed.
at::Tensor Channel::stand_in(size_t index) const {
  const TensorSpec& spec = header_.tensors[index];
  const std::vector<int64_t> shape = shape_of(spec, header_);
  for (const at::Tensor& tensor : tensors_) {
    if (tensor.sizes() == at::IntArrayRef(shape) && tensor.scalar_type() == spec.dtype)
      return tensor;
  }
  try {
    return at::zeros(shape, at::TensorOptions(options_.device).dtype(spec.dtype));
  } catch (const std::exception&) {
    fail(Exit::kEnvironment,
         "There is no memory left for the {} bytes that {} waits for in the {}, whose work failed. "
         "Use a smaller run.batch, or more memory.",
         payload_bytes(header_), options_.peer, describe(header_));
  }
}

void Channel::abandon(const std::string& reason) {
  if (state_ == State::kAccepted) return refuse(reason);
  if (state_ == State::kTaken) return static_cast<void>(close_received());
  if (state_ == State::kIdle) return;
  require_state(State::kOffered, "abandon");
  state_ = State::kBroken;
  await_answer();
  if (state_ == State::kIdle) return;  // refused: nothing is owed
  while (tensors_.size() < header_.tensors.size()) keep(stand_in(tensors_.size()));
  finish({.prefill_s = 0, .work_ended_at_s = now_s()}, reason.empty() ? "unknown" : reason);
}

// ---- receiver

Header Channel::accept(const Expected& expected) {
  require_state(State::kIdle, "accept");
  state_ = State::kBroken;
  const std::string bytes =
      receive_control(ControlMessage::kHeader,
                      fmt::format("the header of the {} message of task {}, cell {}",
                                  name(expected.kind), expected.task, expected.cell),
                      generated_samples(expected.kind, expected.samples));
  header_ = decode_header(bytes);
  tensors_.clear();
  summed_ = 0;
  sums_ = MessageSums(options_.checksums);
  ledger_.begin(header_);
  ledger_.count_header(header_, bytes.size());
  state_ = State::kAccepted;
  ++messages_;

  const bool failed = !header_.failure.empty();
  const bool same_turn = header_.task == expected.task && header_.cell == expected.cell &&
                         header_.attempt == expected.attempt;
  if (!same_turn || (!failed && header_.kind != expected.kind)) {
    const std::string difference = fmt::format(
        "{} offered a {}, where this end expected a {} message of task {}, cell {}, attempt {}: "
        "the two ends are out of step. Please report this with the logs of both.",
        options_.peer, describe(header_), name(expected.kind), expected.task, expected.cell,
        expected.attempt);
    if (failed) {
      end_message();
    } else {
      refuse(difference);
    }
    fail(Exit::kIntegrity, "{}", difference);
  }
  if (failed) {
    end_message();
    fail(Exit::kSomeFailed, "{} failed before its message: {}", options_.peer, header_.failure);
  }
  return header_;
}

void Channel::refuse(const std::string& reason) {
  require_state(State::kAccepted, "refuse");
  state_ = State::kBroken;
  send_counted(ControlMessage::kAnswer, encode_answer(reason.empty() ? "no reason given" : reason));
  end_message();
}

std::vector<at::Tensor> Channel::take_all() {
  require_state(State::kAccepted, "take_all");
  tensors_ = start_receives(header_);
  state_ = State::kBroken;
  send_counted(ControlMessage::kAnswer, encode_answer(""));
  state_ = State::kTaken;
  return tensors_;
}

Delivery Channel::close_received() {
  require_state(State::kTaken, "close_received");
  state_ = State::kBroken;
  const Seconds waited_before_s = waited_s_;
  const std::string bytes = receive_trailer();
  const Trailer trailer = decode_trailer(bytes);
  waited_s_ -= std::min(waited_s_ - waited_before_s, trailer.exposed_s);  // payload was moving
  const uint64_t owed = payload_bytes(header_);
  if (trailer.payload_bytes != owed) {
    fail(Exit::kIntegrity, "{} counted {} payload bytes in the {}, of which its header says {}.",
         options_.peer, trailer.payload_bytes, describe(header_), owed);
  }
  const Deadline limit = deadline("the payload of the " + describe(header_));
  const uint64_t arrived = finish_receives(limit);
  if (arrived != owed && limit.expired()) {
    fail(Exit::kEnvironment,
         "{} of the {} payload bytes came in the {}, though {} says that it sent them all, and no "
         "more within {} s: the network lost the rest, or is slower than run.timeout_s allows.",
         arrived, owed, describe(header_), options_.peer, options_.timeout_s);
  }
  if (arrived != owed) {
    fail(Exit::kIntegrity,
         "{} of the {} payload bytes came in the {}, though {} counted them all: the transport "
         "lost the rest.",
         arrived, owed, describe(header_), options_.peer);
  }
  for (size_t i = 0; i < tensors_.size(); ++i) {
    ledger_.count_payload(header_, header_.tensors[i], tensors_[i]);
  }
  ledger_.count_header(header_, bytes.size());
  const std::vector<at::Tensor> tensors = std::move(tensors_);
  end_message();  // the ends are in step again, whatever the sums say
  sum(tensors);
  return judge(trailer);
}

Delivery Channel::judge(const Trailer& trailer) const {
  const size_t samples = header_.samples.size();
  Delivery delivery{.sender_prefill_s = trailer.sender_prefill_s,
                    .sender_decode_s = trailer.sender_decode_s,
                    .wire = {trailer.exposed_s, trailer.hidden_s},
                    .intact = std::vector<bool>(samples, trailer.failure.empty()),
                    .failure = trailer.failure};
  const std::vector<uint64_t> sums = sums_.values();
  if (sums.size() != trailer.sums.size()) {
    fail(Exit::kIntegrity, "{} sent {} sums with the {}, which has {}.", options_.peer,
         trailer.sums.size(), describe(header_), sums.size());
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] != trailer.sums[i]) delivery.intact[i % samples] = false;
  }
  return delivery;
}

}  // namespace kvcomm
