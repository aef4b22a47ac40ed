#include "comm/loopback_channel.h"

#include "base/error.h"

namespace kvcomm {

LoopbackEnds LoopbackChannel::make(const ChannelOptions& options) {
  auto queue = std::make_shared<Queue>();
  return {std::unique_ptr<Channel>(new LoopbackChannel(options, queue)),
          std::unique_ptr<Channel>(new LoopbackChannel(options, queue))};
}

void LoopbackChannel::send_control(ControlMessage note, std::string bytes) {
  if (note == ControlMessage::kHeader) queue_->push_back({.header = std::move(bytes)});
  if (note == ControlMessage::kTrailer) queue_->back().trailer = std::move(bytes);
  // The receiver's answer has nobody to go to: the sender's part is over.
}

std::optional<std::string> LoopbackChannel::poll_control(ControlMessage note) {
  if (note == ControlMessage::kAnswer) return encode_answer("");
  if (note == ControlMessage::kTrailer) return current_.trailer;
  if (queue_->empty()) {
    fail(Exit::kInternal,
         "Nothing was offered on this loopback channel before its receiver's part.");
  }
  current_ = std::move(queue_->front());
  queue_->pop_front();
  return current_.header;
}

void LoopbackChannel::send_together(std::span<const at::Tensor> tensors) {
  auto& queued = queue_->back().tensors;
  queued.insert(queued.end(), tensors.begin(), tensors.end());
}

std::vector<at::Tensor> LoopbackChannel::start_receives(const Header&) {
  arrived_ = 0;
  for (const at::Tensor& tensor : current_.tensors) arrived_ += tensor.nbytes();
  return std::move(current_.tensors);
}

uint64_t LoopbackChannel::finish_receives(const Deadline&) { return arrived_; }

}  // namespace kvcomm
