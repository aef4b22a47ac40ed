#include "comm/faulty.h"

#include <list>

namespace kvcomm {

class Faulty::FaultySending : public DecoratedSending {
 public:
  FaultySending(const Fault& fault, Header header, std::unique_ptr<Sending> sending)
      : DecoratedSending(std::move(sending)), fault_(fault), header_(std::move(header)) {}

  void add(std::span<const at::Tensor> tensors) override {
    if (fault_.payload) {
      const size_t first = std::exchange(next_, next_ + tensors.size());
      sent_.push_back(fault_.payload(header_, first, {tensors.begin(), tensors.end()}));
      DecoratedSending::add(sent_.back());
    } else {
      DecoratedSending::add(tensors);
    }
    if (fault_.moving) fault_.moving();
  }

 private:
  const Fault& fault_;
  const Header header_;
  size_t next_ = 0;                          // the place of the tensor that comes next
  std::list<std::vector<at::Tensor>> sent_;  // they live as long as the message
};

class Faulty::FaultyReceiving : public Receiving {
 public:
  FaultyReceiving(const Fault& fault, std::unique_ptr<Receiving> receiving)
      : fault_(fault), receiving_(std::move(receiving)) {}

  const std::vector<at::Tensor>& tensors() const override { return receiving_->tensors(); }
  bool done() override {
    const bool done = receiving_->done();
    if (fault_.moving && arrived_bytes() > 0 && !std::exchange(moved_, true)) fault_.moving();
    return done;
  }
  uint64_t arrived_bytes() const override { return receiving_->arrived_bytes(); }

 private:
  const Fault& fault_;
  std::unique_ptr<Receiving> receiving_;
  bool moved_ = false;
};

void Faulty::send_note(ControlMessage kind, std::string bytes) {
  if (kind == ControlMessage::kHeader) header_ = decode_header(bytes);
  if (fault_.note) {
    auto note = fault_.note(kind, std::move(bytes));
    if (!note) return;
    bytes = std::move(*note);
  }
  DecoratedTransport::send_note(kind, std::move(bytes));
}

std::unique_ptr<Sending> Faulty::start_sending() {
  return std::make_unique<FaultySending>(fault_, header_, DecoratedTransport::start_sending());
}

std::unique_ptr<Receiving> Faulty::start_receiving(const Header& header) {
  return std::make_unique<FaultyReceiving>(fault_, DecoratedTransport::start_receiving(header));
}

}  // namespace kvcomm
