#include "comm/faulty.h"

#include <list>

namespace kvcomm {

class Faulty::FaultySending : public Sending {
 public:
  FaultySending(const Fault& fault, std::unique_ptr<Sending> sending)
      : fault_(fault), sending_(std::move(sending)) {}

  void ready() override { sending_->ready(); }
  void add(std::span<const at::Tensor> tensors) override {
    if (!fault_.payload) return sending_->add(tensors);
    sent_.push_back(fault_.payload({tensors.begin(), tensors.end()}));
    sending_->add(sent_.back());
  }
  void work_ended(Seconds at_s) override { sending_->work_ended(at_s); }
  void progress() override { sending_->progress(); }
  bool done() override { return sending_->done(); }
  WireTimes times() override { return sending_->times(); }

 private:
  const Fault& fault_;
  std::unique_ptr<Sending> sending_;
  std::list<std::vector<at::Tensor>> sent_;  // they live as long as the message
};

void Faulty::send_note(ControlMessage kind, std::string bytes) {
  if (fault_.note) {
    auto note = fault_.note(kind, std::move(bytes));
    if (!note) return;
    bytes = std::move(*note);
  }
  transport_->send_note(kind, std::move(bytes));
}

std::unique_ptr<Sending> Faulty::start_sending() {
  return std::make_unique<FaultySending>(fault_, transport_->start_sending());
}

}  // namespace kvcomm
