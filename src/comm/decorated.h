// A transport around another one, which does all that a decorator does not do itself.
#pragma once

#include <memory>

#include "comm/transport.h"

namespace kvcomm {

class DecoratedSending : public Sending {
 public:
  explicit DecoratedSending(std::unique_ptr<Sending> sending) : sending_(std::move(sending)) {}

  void ready() override { sending_->ready(); }
  void add(std::span<const at::Tensor> tensors) override { sending_->add(tensors); }
  void work_ended(Seconds at_s) override { sending_->work_ended(at_s); }
  void progress() override { sending_->progress(); }
  bool done() override { return sending_->done(); }
  WireTimes times() override { return sending_->times(); }

 private:
  std::unique_ptr<Sending> sending_;
};

class DecoratedTransport : public Transport {
 public:
  explicit DecoratedTransport(std::unique_ptr<Transport> transport)
      : transport_(std::move(transport)) {}

  void send_note(ControlMessage kind, std::string bytes) override {
    transport_->send_note(kind, std::move(bytes));
  }
  std::optional<std::string> poll_note(ControlMessage kind) override {
    return transport_->poll_note(kind);
  }
  std::unique_ptr<Sending> start_sending() override { return transport_->start_sending(); }
  std::unique_ptr<Receiving> start_receiving(const Header& header) override {
    return transport_->start_receiving(header);
  }
  void progress() override { transport_->progress(); }
  bool needs_host() const override { return transport_->needs_host(); }
  void give_up() noexcept override { transport_->give_up(); }

 private:
  std::unique_ptr<Transport> transport_;
};

}  // namespace kvcomm
