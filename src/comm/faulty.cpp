#include "comm/faulty.h"

#include <list>

namespace kvcomm {

class Faulty::FaultySending : public DecoratedSending {
 public:
  FaultySending(const Fault& fault, std::unique_ptr<Sending> sending)
      : DecoratedSending(std::move(sending)), fault_(fault) {}

  void add(std::span<const at::Tensor> tensors) override {
    if (!fault_.payload) return DecoratedSending::add(tensors);
    sent_.push_back(fault_.payload({tensors.begin(), tensors.end()}));
    DecoratedSending::add(sent_.back());
  }

 private:
  const Fault& fault_;
  std::list<std::vector<at::Tensor>> sent_;  // they live as long as the message
};

void Faulty::send_note(ControlMessage kind, std::string bytes) {
  if (fault_.note) {
    auto note = fault_.note(kind, std::move(bytes));
    if (!note) return;
    bytes = std::move(*note);
  }
  DecoratedTransport::send_note(kind, std::move(bytes));
}

std::unique_ptr<Sending> Faulty::start_sending() {
  return std::make_unique<FaultySending>(fault_, DecoratedTransport::start_sending());
}

}  // namespace kvcomm
