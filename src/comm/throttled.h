// A transport with a bound on its speed, for what a slower network would do: payload leaves no
// faster than so many bytes a second, by the sender's clock.
#pragma once

#include <memory>

#include "comm/transport.h"

namespace kvcomm {

class Throttled : public Transport {
 public:
  Throttled(std::unique_ptr<Transport> transport, double bytes_per_s)
      : transport_(std::move(transport)), bytes_per_s_(bytes_per_s) {}

  void send_note(ControlMessage kind, std::string bytes) override {
    transport_->send_note(kind, std::move(bytes));
  }
  std::optional<std::string> poll_note(ControlMessage kind) override {
    return transport_->poll_note(kind);
  }
  std::unique_ptr<Sending> start_sending() override;
  std::unique_ptr<Receiving> start_receiving(const Header& header) override {
    return transport_->start_receiving(header);
  }
  void progress() override { transport_->progress(); }
  void give_up() noexcept override { transport_->give_up(); }

 private:
  class ThrottledSending;

  std::unique_ptr<Transport> transport_;
  double bytes_per_s_;
  Seconds free_at_s_ = 0;  // when what was handed over so far has left
};

}  // namespace kvcomm
