#include "comm/throttled.h"

#include <algorithm>
#include <deque>

namespace kvcomm {

// Tensors are handed on when their turn comes, and the message is done when the last one's time is
// over.
class Throttled::ThrottledSending : public DecoratedSending {
 public:
  ThrottledSending(Throttled& wire, std::unique_ptr<Sending> sending)
      : DecoratedSending(std::move(sending)), wire_(wire) {}

  void add(std::span<const at::Tensor> tensors) override {
    double bytes = 0;
    for (const at::Tensor& tensor : tensors) bytes += static_cast<double>(tensor.nbytes());
    const Seconds begin_s = std::max(now_s(), wire_.free_at_s_);
    wire_.free_at_s_ = end_s_ = begin_s + bytes / wire_.bytes_per_s_;
    busy_.begin(begin_s);
    held_.push_back({begin_s, {tensors.begin(), tensors.end()}});
    hand_on();
  }
  void work_ended(Seconds at_s) override {
    work_ended_at_s_ = at_s;
    DecoratedSending::work_ended(at_s);
  }
  void progress() override {
    hand_on();
    DecoratedSending::progress();
  }
  bool done() override {
    hand_on();
    if (!held_.empty() || !DecoratedSending::done() || now_s() < end_s_) return false;
    busy_.end(now_s());
    return true;
  }
  WireTimes times() override { return busy_.split(work_ended_at_s_); }

 private:
  struct Held {
    Seconds begin_s;
    std::vector<at::Tensor> tensors;
  };

  void hand_on() {
    for (; !held_.empty() && held_.front().begin_s <= now_s(); held_.pop_front()) {
      DecoratedSending::add(held_.front().tensors);
    }
  }

  Throttled& wire_;
  std::deque<Held> held_;
  BusyTimes busy_;
  Seconds end_s_ = 0, work_ended_at_s_ = 0;
};

std::unique_ptr<Sending> Throttled::start_sending() {
  return std::make_unique<ThrottledSending>(*this, DecoratedTransport::start_sending());
}

}  // namespace kvcomm
