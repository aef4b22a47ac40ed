// The transport inside one process: a queue of tensor references. Where one thread plays both ends,
// the sender's part of an exchange runs to its end before the receiver's: its header is taken to be
// answered with ready.
#pragma once

#include <deque>
#include <memory>

#include "comm/transport.h"

namespace kvcomm {

class LoopbackTransport : public Transport {
 public:
  // The two ends of one pipe, for one thread. What is taken are the very tensors that were put.
  struct Ends {
    std::unique_ptr<Transport> sender, receiver;
  };
  static Ends make();

  void send_note(ControlMessage kind, std::string bytes) override;
  std::optional<std::string> poll_note(ControlMessage kind) override;
  std::unique_ptr<Sending> start_sending() override;
  std::unique_ptr<Receiving> start_receiving(const Header& header) override;

 protected:
  struct Queued {
    std::string header;
    std::vector<at::Tensor> tensors;
    std::optional<std::string> trailer;
    bool has_payload = false;  // a trailer will follow, too
  };
  using Queue = std::deque<std::shared_ptr<Queued>>;

  explicit LoopbackTransport(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}

 private:
  class LoopbackSending;
  class LoopbackReceiving;

  std::shared_ptr<Queue> queue_;     // shared by the two ends: offered, not yet polled
  std::shared_ptr<Queued> offered_;  // the sender's: the last one
  Queue sending_;                    // the sender's: without trailer
  Queue polled_, receiving_;         // the receiver's: not yet answered; answered with ready
};

}  // namespace kvcomm
