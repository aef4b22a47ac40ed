#include "comm/loopback_transport.h"

#include "base/error.h"

namespace kvcomm {

class LoopbackTransport::LoopbackSending : public Sending {
 public:
  explicit LoopbackSending(std::shared_ptr<Queued> queued) : queued_(std::move(queued)) {}

  void add(std::span<const at::Tensor> tensors) override {
    queued_->tensors.insert(queued_->tensors.end(), tensors.begin(), tensors.end());
  }
  void work_ended(Seconds) override {}
  bool done() override { return true; }
  WireTimes times() override { return {}; }

 private:
  std::shared_ptr<Queued> queued_;
};

class LoopbackTransport::LoopbackReceiving : public Receiving {
 public:
  explicit LoopbackReceiving(std::shared_ptr<Queued> queued) : queued_(std::move(queued)) {}

  const std::vector<at::Tensor>& tensors() const override { return queued_->tensors; }
  bool done() override { return true; }
  uint64_t arrived_bytes() const override {
    uint64_t bytes = 0;
    for (const at::Tensor& tensor : queued_->tensors) bytes += tensor.nbytes();
    return bytes;
  }

 private:
  std::shared_ptr<Queued> queued_;
};

LoopbackTransport::Ends LoopbackTransport::make() {
  auto queue = std::make_shared<Queue>();
  return {std::unique_ptr<Transport>(new LoopbackTransport(queue)),
          std::unique_ptr<Transport>(new LoopbackTransport(queue))};
}

void LoopbackTransport::send_note(ControlMessage kind, std::string bytes) {
  switch (kind) {
    case ControlMessage::kHeader:
      offered_ = std::make_shared<Queued>(Queued{.header = std::move(bytes)});
      queue_->push_back(offered_);
      return;
    case ControlMessage::kTrailer:
      sending_.front()->trailer = std::move(bytes);
      sending_.pop_front();
      return;
    case ControlMessage::kAnswer:  // it has nobody to go to: the sender's part is over
      if (!decode_answer(bytes).empty()) polled_.pop_front();
      return;
  }
}

std::optional<std::string> LoopbackTransport::poll_note(ControlMessage kind) {
  if (kind == ControlMessage::kAnswer) return encode_answer("");
  if (kind == ControlMessage::kTrailer) {
    if (receiving_.empty() || !receiving_.front()->trailer) return std::nullopt;
    const auto message = receiving_.front();
    receiving_.pop_front();
    return message->trailer;
  }
  if (queue_->empty()) return std::nullopt;
  const auto next = queue_->front();
  queue_->pop_front();
  if (next->has_payload) polled_.push_back(next);
  return next->header;
}

std::unique_ptr<Sending> LoopbackTransport::start_sending() {
  offered_->has_payload = true;
  sending_.push_back(offered_);
  return std::make_unique<LoopbackSending>(offered_);
}

// Messages are answered in the order in which they came.
std::unique_ptr<Receiving> LoopbackTransport::start_receiving(const Header&) {
  receiving_.push_back(polled_.front());
  polled_.pop_front();
  return std::make_unique<LoopbackReceiving>(receiving_.back());
}

}  // namespace kvcomm
