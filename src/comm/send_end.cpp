#include "comm/send_end.h"

#include <ATen/ATen.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/error.h"
#include "comm/checksum.h"

namespace kvcomm {

struct OutgoingMessage::State {
  Header header;
  MessageSums sums;
  std::unique_ptr<Sending> sending;
  std::vector<at::Tensor> tensors;  // put so far
  size_t sent = 0, summed = 0;      // of them, from the first on
  MessageCount count;
  bool answered = false;             // ready
  bool abandoned = false;            // its object is gone, what it owes is not
  std::optional<SenderTimes> times;  // once closed
  std::string failure;               // of the work
  bool over = false;                 // nothing of it is left to do
};

OutgoingMessage::~OutgoingMessage() {
  if (state_ != nullptr && !state_->times) state_->abandoned = true;
}

void OutgoingMessage::put(const at::Tensor& tensor) { end_.put(*state_, tensor); }
void OutgoingMessage::close(const SenderTimes& times) { end_.close(*state_, times); }

SendEnd::SendEnd(std::unique_ptr<Transport> transport, EndOptions options)
    : PipeEnd(std::move(transport), std::move(options)) {}
SendEnd::~SendEnd() = default;

namespace {

void check_header(const Header& header, const std::string& described) {
  if (header.failure.empty() && header.samples.empty()) {
    fail(Exit::kInternal, "Offered a {} without samples.", described);
  }
  for (const TensorSpec& spec : header.tensors) {
    if (header.kind == PayloadKind::kKv && spec.layer < 0) {
      fail(Exit::kInternal, "Offered a {} with a tensor of no layer.", described);
    }
  }
}

void check_tensor(const at::Tensor& tensor, const Header& header, size_t index, at::Device device,
                  const std::string& described) {
  if (index >= header.tensors.size()) {
    fail(Exit::kInternal, "The {} announced {} tensors, and one more was put.", described,
         header.tensors.size());
  }
  const TensorSpec& spec = header.tensors[index];
  const std::vector<int64_t> shape = shape_of(spec, header);
  if (tensor.sizes() != at::IntArrayRef(shape) || tensor.scalar_type() != spec.dtype ||
      !tensor.is_contiguous() || tensor.device().type() != device.type()) {
    fail(Exit::kInternal,
         "Tensor {} (layer {}) of the {} was put as {} [{}] ({}, on {}), but it must be {} [{}], "
         "contiguous, on {}.",
         index, spec.layer, described, c10::toString(tensor.scalar_type()),
         fmt::join(tensor.sizes(), ", "), tensor.is_contiguous() ? "contiguous" : "not contiguous",
         tensor.device().str(), c10::toString(spec.dtype), fmt::join(shape, ", "), device.str());
  }
}

}  // namespace

// ---- a message's way

OutgoingMessage SendEnd::offer(const Header& header) {
  check_header(header, describe(header));
  settle();
  require_closed("offer");
  while (open_.size() >= options_.window.messages) await_front();
  auto message = std::make_shared<Message>();
  message->header = header;
  message->sums = MessageSums(options_.checksums);
  in_step([&] { send_counted(ControlMessage::kHeader, encode(header), message->count); });
  ++messages_;
  if (header.failure.empty()) {
    message->sending = transport_->start_sending();
    open_.push_back(message);
  } else {
    message->times.emplace();
    message->over = true;
    ledger_.add(header, message->count);
  }
  return {*this, std::move(message)};
}

// On a GPU the sums are queued before anything is kept: they take memory, and there may be none.
void SendEnd::put(Message& message, const at::Tensor& given) {
  require_sound();
  const size_t index = message.tensors.size();
  require_open(message, "put");
  if (message.over) return;  // refused
  check_tensor(given, message.header, index, options_.device, describe(message.header));
  const at::Tensor tensor = substitute_ ? substitute_(message.header, index, given) : given;
  if (!tensor.is_cpu()) {
    message.sums.add(tensor, message.header.tensors[index], message.header);
    ++message.summed;
  }
  message.tensors.push_back(tensor);
  if (end_of_layer(message.header, index) == index + 1) message.sending->ready();
  progress();
}

void SendEnd::close(Message& message, const SenderTimes& times) {
  require_sound();
  require_open(message, "close");
  if (message.tensors.size() != message.header.tensors.size() && !message.over) {
    fail(Exit::kInternal, "The {} was closed after {} of its {} tensors.", describe(message.header),
         message.tensors.size(), message.header.tensors.size());
  }
  message.times = times;
  message.sending->work_ended(times.work_ended_at_s);
  progress();
  while (open_bytes() > options_.window.bytes) await_front();
}

bool SendEnd::settle(const std::string& reason) {
  if (open_.empty() || !open_.back()->abandoned || open_.back()->times) return false;
  Message& message = *open_.back();
  message.failure = reason.empty() ? "unknown" : reason;
  message.times = {.work_ended_at_s = now_s()};
  message.sending->work_ended(now_s());
  progress();
  return true;
}

void SendEnd::flush() {
  settle();
  require_closed("flush");
  while (!open_.empty()) await_front();
}

void SendEnd::progress() {
  advance();
  // Both ends are there: to move what is ready comes before any other work of the host.
  while (transport_->needs_host() && !open_.empty() && open_.front()->answered &&
         open_.front()->times) {
    await_front();
  }
  if (!open_.empty() && open_.front()->times && wait().in_vain()) fail_in_vain(wait());
}

// ---- what is open

void SendEnd::advance() {
  in_step([&] {
    transport_->progress();  // the last trailer may be on its way where nothing is open
    read_answers();
    while (!open_.empty() && open_.front()->answered) {
      Message& front = *open_.front();
      send_whole_layers(front);
      front.sending->progress();
      if (!front.times || !front.sending->done()) break;
      finish(front);
      open_.pop_front();
    }
  });
}

// Answers come in the order of the headers.
void SendEnd::read_answers() {
  for (const auto& message : open_) {
    if (message->answered) continue;
    const auto bytes = transport_->poll_note(ControlMessage::kAnswer);
    if (!bytes) break;
    read_answer(*message, *bytes);
    wait_.reset();
  }
  std::erase_if(open_, [](const auto& message) { return message->over; });
}

void SendEnd::read_answer(Message& message, const std::string& bytes) {
  message.count.header += bytes.size();
  const std::string refusal = decode_answer(bytes);
  message.answered = refusal.empty();
  if (message.answered) return;
  spdlog::warn("{} refused the {}: {}", options_.peer, describe(message.header), refusal);
  message.over = true;
  message.tensors.clear();
  ledger_.add(message.header, message.count);
}

// Sends what has been put, as far as its layers are whole; on the CPU it is summed while it moves.
void SendEnd::send_whole_layers(Message& message) {
  if (!message.failure.empty()) add_stand_ins(message);
  while (message.sent < message.tensors.size()) {
    const size_t begin = message.sent, end = end_of_layer(message.header, begin);
    if (end > message.tensors.size()) break;
    message.sending->add(std::span(message.tensors).subspan(begin, end - begin));
    for (; message.sent < end; ++message.sent) {
      message.count.tensors.push_back(message.tensors[message.sent].nbytes());
    }
  }
  for (; message.summed < message.sent; ++message.summed) {
    const size_t i = message.summed;
    message.sums.add(message.tensors[i], message.header.tensors[i], message.header);
    message.sending->progress();
  }
}

// Tensors of the message's shape in place of those that will not come: ones that were put already
// if there are any, since memory may be what has failed.
void SendEnd::add_stand_ins(Message& message) const {
  const auto stand_in = [&](const TensorSpec& spec) {
    const std::vector<int64_t> shape = shape_of(spec, message.header);
    for (const at::Tensor& tensor : message.tensors) {
      if (tensor.sizes() == at::IntArrayRef(shape) && tensor.scalar_type() == spec.dtype) {
        return tensor;
      }
    }
    try {
      return at::zeros(shape, at::TensorOptions(options_.device).dtype(spec.dtype));
    } catch (const std::exception&) {
      fail(Exit::kEnvironment,
           "There is no memory left for the {} bytes that {} waits for in the {}, whose work "
           "failed. Use a smaller run.batch, or more memory.",
           payload_bytes(message.header), options_.peer, describe(message.header));
    }
  };
  for (size_t i = message.tensors.size(); i < message.header.tensors.size(); ++i) {
    message.tensors.push_back(stand_in(message.header.tensors[i]));
    if (end_of_layer(message.header, i) == i + 1) message.sending->ready();
  }
}

void SendEnd::finish(Message& message) {
  const WireTimes wire = message.sending->times();
  const Trailer trailer{.sender_prefill_s = message.times->prefill_s,
                        .sender_decode_s = message.times->decode_s,
                        .exposed_s = wire.exposed_s,
                        .hidden_s = wire.hidden_s,
                        .sender_joules = message.times->joules,
                        .payload_bytes = message.count.payload(),
                        .sums = message.sums.values(),
                        .failure = message.failure};
  send_counted(ControlMessage::kTrailer, encode(trailer), message.count);
  message.tensors.clear();
  message.over = true;
  ledger_.add(message.header, message.count);
  wait_.reset();
}

void SendEnd::require_open(const Message& message, const char* call) {
  if (!message.times) return;
  fail(Exit::kInternal, "OutgoingMessage::{} out of turn: the {} is closed.", call,
       describe(message.header));
}

void SendEnd::require_closed(const char* call) const {
  if (open_.empty() || open_.back()->times) return;
  fail(Exit::kInternal, "SendEnd::{} out of turn: the {} is not closed.", call,
       describe(open_.back()->header));
}

uint64_t SendEnd::open_bytes() const {
  uint64_t bytes = 0;
  for (const auto& message : open_) bytes += payload_bytes(message->header);
  return bytes;
}

// ---- waiting

// Runs from the time when the first message that is open came to wait for what it waits for.
PeerWait& SendEnd::wait() {
  const Header& header = open_.front()->header;
  if (!wait_ && open_.front()->answered) {
    wait_ = wait_for("its receives of the payload of the " + describe(header));
  } else if (!wait_) {
    wait_ = wait_for_work("the answer to the header of the " + describe(header), header.kind,
                          header.samples.size());
  }
  return *wait_;
}

// Waits for the next thing to happen to the first message that is open.
void SendEnd::await_front() {
  const auto front = open_.front();
  const bool answered = front->answered;
  PeerWait until = wait();
  const Stopwatch watch;
  await(
      until,
      [&] {
        advance();
        return front->over || front->answered != answered;
      },
      answered ? Deadline::kMaxSleepInTransfer : Deadline::kMaxSleep);
  if (!answered) waited_s_ += watch.elapsed_s();
}

}  // namespace kvcomm
