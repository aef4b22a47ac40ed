#include "comm/receive_end.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "comm/checksum.h"

namespace kvcomm {

struct IncomingMessage::State {
  Header header;
  MessageSums sums;
  std::unique_ptr<Receiving> receiving;  // once accepted
  std::optional<Trailer> trailer;
  size_t summed = 0;  // of its tensors, from the first on
  MessageCount count;
  bool dropped = false;  // its object is gone before it was over
  bool over = false;     // nothing of it is left to do
};

IncomingMessage::~IncomingMessage() {
  if (state_ != nullptr && !state_->over) state_->dropped = true;
}

const Header& IncomingMessage::header() const { return state_->header; }
void IncomingMessage::accept() { end_.accept(*state_); }
void IncomingMessage::refuse(const std::string& reason) { end_.refuse(*state_, reason); }
Delivery IncomingMessage::take() { return end_.take(*state_); }

bool IncomingMessage::complete() {
  end_.advance();
  return state_->trailer.has_value() && state_->receiving->done();
}

ReceiveEnd::ReceiveEnd(std::unique_ptr<Transport> transport, EndOptions options)
    : PipeEnd(std::move(transport), std::move(options)) {}
ReceiveEnd::~ReceiveEnd() = default;

// ---- headers and answers

std::optional<IncomingMessage> ReceiveEnd::poll(const Expected& expected) {
  settle();
  advance();
  const auto bytes = in_step([&] { return transport_->poll_note(ControlMessage::kHeader); });
  if (!bytes) return std::nullopt;
  auto message = std::make_shared<Message>();
  message->header = in_step([&] { return decode_header(*bytes); });
  message->count.header = bytes->size();
  message->sums = MessageSums(options_.checksums);
  open_.push_back(message);
  ++messages_;
  check_expected(*message, expected);
  if (!message->header.failure.empty()) end(*message);
  return IncomingMessage(*this, std::move(message));
}

// A message that is refused for what it is leaves the ends in step.
IncomingMessage ReceiveEnd::next(const Expected& expected) {
  settle();
  PeerWait wait = wait_for_work(fmt::format("the header of the {} message of task {}, cell {}",
                                            name(expected.kind), expected.task, expected.cell),
                                expected.kind, expected.samples);
  const Stopwatch watch;
  std::optional<IncomingMessage> message;
  const bool came = wait.until([&] {
    if (auto polled = poll(expected)) message.emplace(std::move(*polled));
    return message.has_value();
  });
  if (!came) fail_in_vain(wait);
  waited_s_ += watch.elapsed_s();
  return std::move(*message);
}

void ReceiveEnd::check_expected(Message& message, const Expected& expected) {
  const Header& header = message.header;
  const bool failed = !header.failure.empty();
  const bool same_exchange = header.task == expected.task && header.cell == expected.cell &&
                             header.attempt == expected.attempt;
  if (same_exchange && (failed || header.kind == expected.kind)) return;
  const std::string difference = fmt::format(
      "{} offered a {}, where this end expected a {} message of task {}, cell {}, attempt {}: "
      "the two ends are out of step. Please report this with the logs of both.",
      options_.peer, describe(header), name(expected.kind), expected.task, expected.cell,
      expected.attempt);
  if (failed) {
    end(message);
  } else {
    refuse(message, difference);
  }
  fail(Exit::kIntegrity, "{}", difference);
}

// The sender takes answers in the order of its headers.
void ReceiveEnd::require_next_to_answer(const Message& message, const char* call) const {
  const auto next = std::ranges::find_if(
      open_, [](const auto& candidate) { return candidate->receiving == nullptr; });
  if (next != open_.end() && next->get() == &message) return;
  fail(Exit::kInternal, "IncomingMessage::{} out of turn: the {} is not the next to be answered.",
       call, describe(message.header));
}

void ReceiveEnd::accept(Message& message) {
  require_sound();
  require_next_to_answer(message, "accept");
  std::unique_ptr<Receiving> receiving = transport_->start_receiving(message.header);
  in_step([&] { send_counted(ControlMessage::kAnswer, encode_answer(""), message.count); });
  message.receiving = std::move(receiving);
}

void ReceiveEnd::refuse(Message& message, const std::string& reason) {
  require_next_to_answer(message, "refuse");
  in_step([&] {
    send_counted(ControlMessage::kAnswer,
                 encode_answer(reason.empty() ? "no reason given" : reason), message.count);
  });
  end(message);
}

void ReceiveEnd::settle(const std::string& reason) {
  const std::vector open(open_.begin(), open_.end());
  for (const auto& message : open) {
    if (!message->dropped) continue;
    if (message->receiving == nullptr) {
      refuse(*message, reason);
    } else {
      take(*message);
    }
  }
}

void ReceiveEnd::end(Message& message) {
  message.over = true;
  ledger_.add(message.header, message.count);
  std::erase_if(open_, [](const auto& open) { return open->over; });
}

// ---- payload and trailers

void ReceiveEnd::advance() {
  in_step([&] {
    transport_->progress();
    for (const auto& message : open_) {
      if (message->receiving == nullptr) break;
      message->receiving->done();
      sum_arrived(*message);
    }
    read_trailers();
  });
}

// They come in the order of the headers that were accepted.
void ReceiveEnd::read_trailers() {
  for (const auto& message : open_) {
    if (message->receiving == nullptr) return;
    if (message->trailer) continue;
    const auto bytes = transport_->poll_note(ControlMessage::kTrailer);
    if (!bytes) return;
    message->count.header += bytes->size();
    message->trailer = decode_trailer(*bytes);
  }
}

// A tensor on the CPU is summed as soon as it is there: it still lies in a cache then, and the next
// ones move meanwhile.
void ReceiveEnd::sum_arrived(Message& message) {
  const std::vector<at::Tensor>& tensors = message.receiving->tensors();
  uint64_t before = 0;
  for (size_t i = 0; i < message.summed; ++i) before += tensors[i].nbytes();
  for (size_t& i = message.summed; i < tensors.size() && tensors[i].is_cpu(); ++i) {
    before += tensors[i].nbytes();
    if (before > message.receiving->arrived_bytes()) return;
    message.sums.add(tensors[i], message.header.tensors[i], message.header);
    message.receiving->done();
  }
}

// Waits quickly while payload comes.
void ReceiveEnd::await_trailer(Message& message) {
  PeerWait wait = wait_for("the end of the " + describe(message.header));
  while (!message.trailer) {
    const Stopwatch watch;
    await(wait, [&, before = message.receiving->arrived_bytes()] {
      advance();
      return message.trailer.has_value() || message.receiving->arrived_bytes() != before;
    });
    waited_s_ += watch.elapsed_s();
  }
}

void ReceiveEnd::await_payload(Message& message, uint64_t counted_by_sender) {
  const uint64_t owed = payload_bytes(message.header);
  if (counted_by_sender != owed) {
    fail(Exit::kIntegrity, "{} counted {} payload bytes in the {}, of which its header says {}.",
         options_.peer, counted_by_sender, describe(message.header), owed);
  }
  PeerWait wait = wait_for("the payload of the " + describe(message.header));
  const bool ended =
      wait.until([&] { return message.receiving->done(); }, Deadline::kMaxSleepInTransfer);
  if (!ended) transport_->give_up();
  const uint64_t arrived = message.receiving->arrived_bytes();
  if (arrived != owed && !ended && wait.peer_is_silent()) fail_in_vain(wait);
  if (arrived != owed && !ended) {
    fail(Exit::kEnvironment,
         "{} of the {} payload bytes came in the {}, though {} says that it sent them all, and no "
         "more within {} s: the network lost the rest, or is slower than run.timeout_s allows.",
         arrived, owed, describe(message.header), options_.peer, options_.timeout_s);
  }
  if (arrived != owed) {
    fail(Exit::kIntegrity,
         "{} of the {} payload bytes came in the {}, though {} counted them all: the transport "
         "lost the rest.",
         arrived, owed, describe(message.header), options_.peer);
  }
}

Delivery ReceiveEnd::take(Message& message) {
  require_sound();
  if (message.receiving == nullptr || message.over) {
    fail(Exit::kInternal, "IncomingMessage::take out of turn: the {} is not accepted, or over.",
         describe(message.header));
  }
  const Seconds waited_before_s = waited_s_;
  await_trailer(message);
  // The payload was moving in that time.
  waited_s_ -= std::min(waited_s_ - waited_before_s, message.trailer->exposed_s);
  in_step([&] { await_payload(message, message.trailer->payload_bytes); });
  for (const at::Tensor& tensor : message.receiving->tensors()) {
    message.count.tensors.push_back(tensor.nbytes());
  }
  end(message);  // the ends are in step again, whatever the sums say
  const std::vector<at::Tensor>& tensors = message.receiving->tensors();
  for (size_t& i = message.summed; i < tensors.size(); ++i) {
    message.sums.add(tensors[i], message.header.tensors[i], message.header);
  }
  return judge(message);
}

Delivery ReceiveEnd::judge(const Message& message) const {
  const Trailer& trailer = *message.trailer;
  const size_t samples = message.header.samples.size();
  Delivery delivery{.tensors = message.receiving->tensors(),
                    .sender_prefill_s = trailer.sender_prefill_s,
                    .sender_decode_s = trailer.sender_decode_s,
                    .sender_joules = trailer.sender_joules,
                    .wire = {trailer.exposed_s, trailer.hidden_s},
                    .intact = std::vector<bool>(samples, trailer.failure.empty()),
                    .failure = trailer.failure};
  const std::vector<uint64_t> sums = message.sums.values();
  if (sums.size() != trailer.sums.size()) {
    fail(Exit::kIntegrity, "{} sent {} sums with the {}, which has {}.", options_.peer,
         trailer.sums.size(), describe(message.header), sums.size());
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    if (sums[i] != trailer.sums[i]) delivery.intact[i % samples] = false;
  }
  return delivery;
}

}  // namespace kvcomm
