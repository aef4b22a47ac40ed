// A transport that does wrong, for showing that wrong is seen: what it is told to do to the tensors
// that are sent, and to the notes.
#pragma once

#include <functional>
#include <memory>

#include "comm/decorated.h"

namespace kvcomm {

struct Fault {
  // What goes in place of tensors that go together, the header's from place `first` on; nothing:
  // they are lost.
  std::function<std::vector<at::Tensor>(const Header& header, size_t first,
                                        std::vector<at::Tensor> tensors)>
      payload = {};
  // What goes in place of a note; nothing: it is lost.
  std::function<std::optional<std::string>(ControlMessage, std::string)> note = {};
  // Called when tensors were handed on, and when the first bytes of a message have come.
  std::function<void()> moving = {};
};

class Faulty : public DecoratedTransport {
 public:
  Faulty(std::unique_ptr<Transport> transport, Fault fault)
      : DecoratedTransport(std::move(transport)), fault_(std::move(fault)) {}

  void send_note(ControlMessage kind, std::string bytes) override;
  std::unique_ptr<Sending> start_sending() override;
  std::unique_ptr<Receiving> start_receiving(const Header& header) override;

 private:
  class FaultySending;
  class FaultyReceiving;

  Fault fault_;
  Header header_;  // of the last message that was offered
};

}  // namespace kvcomm
