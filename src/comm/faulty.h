// A transport that does wrong, for showing that wrong is seen: what it is told to do to the tensors
// that are sent, and to the notes.
#pragma once

#include <functional>
#include <memory>

#include "comm/transport.h"

namespace kvcomm {

struct Fault {
  // What goes in place of tensors that go together; nothing: they are lost.
  std::function<std::vector<at::Tensor>(std::vector<at::Tensor>)> payload = {};
  // What goes in place of a note; nothing: it is lost.
  std::function<std::optional<std::string>(ControlMessage, std::string)> note = {};
};

class Faulty : public Transport {
 public:
  Faulty(std::unique_ptr<Transport> transport, Fault fault)
      : transport_(std::move(transport)), fault_(std::move(fault)) {}

  void send_note(ControlMessage kind, std::string bytes) override;
  std::optional<std::string> poll_note(ControlMessage kind) override {
    return transport_->poll_note(kind);
  }
  std::unique_ptr<Sending> start_sending() override;
  std::unique_ptr<Receiving> start_receiving(const Header& header) override {
    return transport_->start_receiving(header);
  }
  void progress() override { transport_->progress(); }
  bool needs_host() const override { return transport_->needs_host(); }
  void give_up() noexcept override { transport_->give_up(); }

 private:
  class FaultySending;

  std::unique_ptr<Transport> transport_;
  Fault fault_;
};

}  // namespace kvcomm
