// The receiving end of a pipe (pipe_end.h), and the messages that have come to it.
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/pipe_end.h"

namespace kvcomm {

// What the receiver's own plan says must come next.
struct Expected {
  PayloadKind kind;
  uint64_t task;
  uint32_t cell, attempt;
  size_t samples = 1;
};

struct Delivery {
  std::vector<at::Tensor> tensors;  // in the header's order
  Seconds sender_prefill_s = 0, sender_decode_s = 0;
  double sender_joules = 0;
  WireTimes wire;
  std::vector<bool> intact;  // per sample, in the header's order: all sums agree, nothing failed
  std::string failure;       // "": the sender's work is good
};

class ReceiveEnd;

// A message that came, refused and failed ones too. One that is destroyed before take() or refuse()
// is dropped: ReceiveEnd::settle() answers it or takes what still comes. Its end outlives it.
class IncomingMessage {
 public:
  IncomingMessage(IncomingMessage&&) noexcept = default;
  IncomingMessage& operator=(IncomingMessage&&) = delete;
  ~IncomingMessage();

  // Its failure is not empty where the sender failed before it could say more: the message is over
  // then.
  const Header& header() const;

  // Allocates its tensors, posts their receives, answers ready. If it throws, refuse().
  void accept();
  // Instead: the sender drops what it puts. The reason goes into its log.
  void refuse(const std::string& reason);
  // Of an accepted message: whether take() will not wait.
  bool complete();
  // Waits for payload and trailer of an accepted message. Throws kIntegrity if the ends counted
  // different bytes.
  Delivery take();

 private:
  friend class ReceiveEnd;
  struct State;
  IncomingMessage(ReceiveEnd& end, std::shared_ptr<State> state)
      : end_(end), state_(std::move(state)) {}

  ReceiveEnd& end_;
  std::shared_ptr<State> state_;
};

class ReceiveEnd : public PipeEnd {
 public:
  ReceiveEnd(std::unique_ptr<Transport> transport, EndOptions options);
  ~ReceiveEnd();

  // The next message, if its header is there. Messages are answered in the order in which they
  // came. Throws kIntegrity (and refuses) if it is not what is expected.
  std::optional<IncomingMessage> poll(const Expected& expected);
  // Waits for it.
  IncomingMessage next(const Expected& expected);
  // Refuses dropped messages, or takes what comes of them.
  void settle(const std::string& reason = "its receiver's work ended early");

 private:
  friend class IncomingMessage;
  using Message = IncomingMessage::State;

  void accept(Message& message);
  void refuse(Message& message, const std::string& reason);
  Delivery take(Message& message);

  void require_next_to_answer(const Message& message, const char* call) const;
  void check_expected(Message& message, const Expected& expected);
  void advance();
  void read_trailers();
  void sum_arrived(Message& message);
  void await_trailer(Message& message);
  void await_payload(Message& message, uint64_t counted_by_sender);
  Delivery judge(const Message& message) const;
  void end(Message& message);

  std::deque<std::shared_ptr<Message>> open_;
};

}  // namespace kvcomm
