#include "comm/nccl_transport.h"

#include <ATen/ATen.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "base/error.h"

namespace kvcomm {

NcclGroup::~NcclGroup() {
  if (link_ == nullptr) return;
  try {
    link_->group_end();
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
  }
}

void NcclGroup::end() { std::exchange(link_, nullptr)->group_end(); }

namespace {

using Stream = NcclLink::Stream;
using Moment = std::unique_ptr<NcclLink::Moment>;

// A message's sends, timed by the GPU's own clock. The host's time of the prefill's end says little
// there: it is when the kernels were queued.
class NcclSending : public Sending {
 public:
  NcclSending(NcclLink& link, int peer) : link_(link), peer_(peer) {}

  void ready() override { ready_.push_back(link_.mark(Stream::kCompute)); }
  void add(std::span<const at::Tensor> tensors) override {
    if (!ready_.empty()) {
      link_.follow(*ready_.front());
      ready_.pop_front();
    }
    if (first_ == nullptr) first_ = link_.mark(Stream::kTransfer);
    NcclGroup group(link_);
    for (const at::Tensor& tensor : tensors) send(tensor);
    group.end();
    last_ = link_.mark(Stream::kTransfer);
  }
  void work_ended(Seconds) override { compute_end_ = link_.mark(Stream::kCompute); }
  bool done() override {
    return last_ == nullptr || (link_.reached(*last_) && link_.reached(*compute_end_));
  }
  WireTimes times() override {
    if (last_ == nullptr) return {};
    const Seconds all_s = std::max(0.0, link_.between(*first_, *last_));
    const Seconds hidden_s = std::clamp(link_.between(*first_, *compute_end_), 0.0, all_s);
    return {.exposed_s = all_s - hidden_s, .hidden_s = hidden_s};
  }

 protected:
  virtual void send(const at::Tensor& tensor) {
    if (tensor.numel() > 0) link_.send(tensor, peer_);
  }

  NcclLink& link_;

 private:
  int peer_;
  std::deque<Moment> ready_;  // of the layers that were not yet sent
  Moment first_, last_, compute_end_;
};

class NcclReceiving : public Receiving {
 public:
  NcclReceiving(NcclLink& link, int peer, const Header& header, at::Device device)
      : link_(link), tensors_(allocate(header, device)) {
    try {
      post(header, peer);
    } catch (...) {
      link_.abort();  // what was posted would wait for a sender that is never told
      throw;
    }
  }

  const std::vector<at::Tensor>& tensors() const override { return tensors_; }
  bool done() override { return done_ = done_ || link_.reached(*last_); }
  // NCCL does not count what came: it is all, or nothing that can be used.
  uint64_t arrived_bytes() const override { return done_ ? bytes_ : 0; }

 private:
  void post(const Header& header, int peer) {
    // The memory may still be in use by kernels of its last owner.
    link_.follow(*link_.mark(Stream::kCompute));
    for (size_t begin = 0; begin < tensors_.size();) {
      const size_t end = end_of_layer(header, begin);
      NcclGroup group(link_);
      for (; begin < end; ++begin) {
        if (tensors_[begin].numel() > 0) link_.receive(tensors_[begin], peer);
        bytes_ += tensors_[begin].nbytes();
      }
      group.end();
    }
    last_ = link_.mark(Stream::kTransfer);
  }

  NcclLink& link_;
  std::vector<at::Tensor> tensors_;
  uint64_t bytes_ = 0;
  Moment last_;
  bool done_ = false;
};

// Sends to its own process, whose other end takes what was received.
class NcclSelfSending : public NcclSending {
 public:
  NcclSelfSending(NcclLink& link, std::unique_ptr<Sending> queue)
      : NcclSending(link, 0), queue_(std::move(queue)) {}

  void add(std::span<const at::Tensor> tensors) override {
    received_.clear();
    for (const at::Tensor& tensor : tensors) received_.push_back(at::empty_like(tensor));
    link_.follow(*link_.mark(Stream::kCompute));  // of the memory's last owner
    next_ = 0;
    NcclSending::add(tensors);
    queue_->add(received_);
  }

 private:
  void send(const at::Tensor& tensor) override {
    const at::Tensor& into = received_[next_++];
    if (tensor.numel() == 0) return;
    link_.send(tensor, 0);
    link_.receive(into, 0);
  }

  std::unique_ptr<Sending> queue_;
  std::vector<at::Tensor> received_;  // of the group at hand
  size_t next_ = 0;                   // of them
};

}  // namespace

std::unique_ptr<Sending> NcclTransport::start_sending() {
  return std::make_unique<NcclSending>(link_, peer());
}

std::unique_ptr<Receiving> NcclTransport::start_receiving(const Header& header) {
  return std::make_unique<NcclReceiving>(link_, peer(), header, options().device);
}

NcclSelfTransport::Ends NcclSelfTransport::make(NcclLink& link) {
  auto queue = std::make_shared<Queue>();
  return {std::unique_ptr<Transport>(new NcclSelfTransport(link, queue)),
          std::unique_ptr<Transport>(new NcclSelfTransport(link, queue))};
}

std::unique_ptr<Sending> NcclSelfTransport::start_sending() {
  return std::make_unique<NcclSelfSending>(link_, LoopbackTransport::start_sending());
}

}  // namespace kvcomm
