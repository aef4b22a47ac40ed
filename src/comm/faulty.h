// A transport that does wrong, for showing that wrong is seen: what it is told to do to the tensors
// that are sent, and to the notes.
#pragma once

#include <functional>
#include <memory>

#include "comm/decorated.h"

namespace kvcomm {

struct Fault {
  // What goes in place of tensors that go together; nothing: they are lost.
  std::function<std::vector<at::Tensor>(std::vector<at::Tensor>)> payload = {};
  // What goes in place of a note; nothing: it is lost.
  std::function<std::optional<std::string>(ControlMessage, std::string)> note = {};
};

class Faulty : public DecoratedTransport {
 public:
  Faulty(std::unique_ptr<Transport> transport, Fault fault)
      : DecoratedTransport(std::move(transport)), fault_(std::move(fault)) {}

  void send_note(ControlMessage kind, std::string bytes) override;
  std::unique_ptr<Sending> start_sending() override;

 private:
  class FaultySending;

  Fault fault_;
};

}  // namespace kvcomm
