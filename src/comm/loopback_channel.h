// The channel inside one process: a queue of tensor references. The sender's part of an exchange
// runs to its end (its header is taken to be answered with ready), then the receiver's.
#pragma once

#include <deque>
#include <memory>

#include "comm/channel.h"

namespace kvcomm {

struct LoopbackEnds;

class LoopbackChannel : public Channel {
 public:
  // The two ends of one pipe, for one thread. What is taken are the very tensors that were put.
  static LoopbackEnds make(const ChannelOptions& options);

 protected:
  struct Queued {
    std::string header, trailer;
    std::vector<at::Tensor> tensors;
  };
  using Queue = std::deque<Queued>;

  LoopbackChannel(ChannelOptions options, std::shared_ptr<Queue> queue)
      : Channel(std::move(options)), queue_(std::move(queue)) {}

  void send_together(std::span<const at::Tensor> tensors) override;
  void progress() override {}
  WireTimes finish_sends(Seconds) override { return {}; }

 private:
  void send_control(ControlMessage note, std::string bytes) override;
  std::optional<std::string> poll_control(ControlMessage note) override;
  std::vector<at::Tensor> start_receives(const Header& header) override;
  uint64_t finish_receives(const Deadline& deadline) override;

  std::shared_ptr<Queue> queue_;  // shared by the two ends
  Queued current_;                // the receiver's open message
  uint64_t arrived_ = 0;          // its bytes
};

struct LoopbackEnds {
  std::unique_ptr<Channel> sender, receiver;
};

}  // namespace kvcomm
