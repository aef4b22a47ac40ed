// The sending end of a pipe (pipe_end.h), and the messages that are on their way out of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "comm/pipe_end.h"

namespace kvcomm {

// Of the sender's work on a message: how long it read and generated, and when it was done
// (now_s()).
struct SenderTimes {
  Seconds prefill_s = 0, decode_s = 0;
  double joules = 0;  // that its device took for it; NaN: not told
  Seconds work_ended_at_s = 0;
};

class SendEnd;

// Gives what goes in the place of tensor `index` of a message: of the same shape, dtype and device.
using Substitute =
    std::function<at::Tensor(const Header& header, size_t index, const at::Tensor& tensor)>;

// A message that was offered. One that is destroyed before close() is abandoned: SendEnd::settle()
// pays what it owes. Its end outlives it.
class OutgoingMessage {
 public:
  OutgoingMessage(OutgoingMessage&&) noexcept = default;
  OutgoingMessage& operator=(OutgoingMessage&&) = delete;
  ~OutgoingMessage();

  // The next tensor of the header's list, contiguous and on the end's device; it is kept, and must
  // not be changed, until the message is over. Tensors of one layer that follow each other go
  // together. Sends what the receiver is ready for; dropped where it refused.
  void put(const at::Tensor& tensor);
  // After the last tensor. Does not wait for the receiver, but where it is ready, for the sends.
  void close(const SenderTimes& times);

 private:
  friend class SendEnd;
  struct State;
  OutgoingMessage(SendEnd& end, std::shared_ptr<State> state)
      : end_(end), state_(std::move(state)) {}

  SendEnd& end_;
  std::shared_ptr<State> state_;
};

class SendEnd : public PipeEnd {
 public:
  SendEnd(std::unique_ptr<Transport> transport, EndOptions options);
  ~SendEnd();

  // What goes in each tensor's place from now on; nullptr: itself. Counts and sums are those of
  // what goes.
  void set_substitute(Substitute substitute) { substitute_ = std::move(substitute); }

  // Announces a message, before the work; waits while the window is full. A header with a failure
  // is a whole message in itself.
  OutgoingMessage offer(const Header& header);
  // If the last message was abandoned: the bytes that are missing (whatever they are) will follow,
  // and a trailer that says failed, for this reason. Whether there was one.
  bool settle(const std::string& reason = "its work ended early");
  // Lets what is open advance; what the receiver is ready for has left then, if it was closed. To
  // be called now and then in work that takes long.
  void progress();
  // Waits until nothing is open.
  void flush();

 private:
  friend class OutgoingMessage;
  using Message = OutgoingMessage::State;

  void put(Message& message, const at::Tensor& given);
  void close(Message& message, const SenderTimes& times);

  void advance();
  void read_answers();
  void read_answer(Message& message, const std::string& bytes);
  void send_whole_layers(Message& message);
  void add_stand_ins(Message& message) const;
  void finish(Message& message);
  static void require_open(const Message& message, const char* call);
  void require_closed(const char* call) const;
  PeerWait& wait();
  void await_front();
  uint64_t open_bytes() const;

  Substitute substitute_;
  std::deque<std::shared_ptr<Message>> open_;
  std::optional<PeerWait> wait_;  // for what the first of them waits for
};

}  // namespace kvcomm
