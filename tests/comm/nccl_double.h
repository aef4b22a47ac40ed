// Stands for NCCL where there is no GPU: moves the bytes of host tensors by MPI (to itself by
// copy), notes the calls in order, and can be told to hang or to fail.
#pragma once

#include <cstring>
#include <deque>
#include <limits>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/nccl_link.h"

namespace kvcomm::testing {

class NcclDouble : public NcclLink {
 public:
  explicit NcclDouble(const Communicator& lane) : mpi_(lane.duplicate()) {}

  void group_start() override { note("("); }
  void group_end() override {
    note(")");
    for (const Half& half : opened_) start(half);
    opened_.clear();
  }
  void send(const at::Tensor& tensor, int to) override {
    note("s");
    opened_.push_back({tensor, to, true});
  }
  void receive(const at::Tensor& tensor, int from) override {
    note("r");
    opened_.push_back({tensor, from, false});
  }
  std::unique_ptr<Moment> mark(Stream stream) override {
    std::deque<Seconds>& clock = stream == Stream::kTransfer ? transfer_s : compute_s;
    Seconds at_s = 0;
    if (!clock.empty()) {
      at_s = clock.front();
      clock.pop_front();
    }
    return std::make_unique<HostMoment>(at_s, stream == Stream::kTransfer ? started_ : 0);
  }
  void follow(const Moment&) override { note("c"); }
  bool reached(const Moment& moment) override {
    if (!failure.empty()) fail(Exit::kEnvironment, "{}", failure);
    for (; done_ < most_done && !under_way_.empty() && under_way_.front().done(); ++done_) {
      under_way_.pop_front();
    }
    const size_t before = dynamic_cast<const HostMoment&>(moment).started;
    return before == 0 || (!hangs && done_ >= before);
  }
  Seconds between(const Moment& begin, const Moment& end) override {
    return dynamic_cast<const HostMoment&>(end).at_s - dynamic_cast<const HostMoment&>(begin).at_s;
  }
  void abort() noexcept override { note("A"); }

  std::string calls;   // "c(ss)": behind the compute stream, a group of two sends; "A": aborted
  bool hangs = false;  // no transfer comes to its end
  size_t most_done = std::numeric_limits<size_t>::max();  // nor do those behind so many
  std::string failure;                                    // reached() throws it
  // What the clock shows at the next moments of either stream; then 0.
  std::deque<Seconds> compute_s, transfer_s;

 private:
  struct Half {
    at::Tensor tensor;
    int peer;
    bool is_send;
  };
  struct HostMoment : Moment {
    HostMoment(Seconds at, size_t before) : at_s(at), started(before) {}
    Seconds at_s;
    size_t started;  // transfers before it
  };

  void note(const char* call) { calls += call; }

  void start(const Half& half) {
    constexpr int kTag = 1;
    ++started_;
    if (hangs) return;
    auto owner = std::make_shared<const at::Tensor>(half.tensor);
    auto* data = static_cast<std::byte*>(half.tensor.mutable_data_ptr());
    const std::span bytes(data, half.tensor.nbytes());
    under_way_.push_back(half.is_send ? mpi_.start_send(bytes, owner, half.peer, kTag)
                                      : mpi_.start_receive(bytes, owner, half.peer, kTag));
  }

  Communicator mpi_;
  std::vector<Half> opened_;
  std::list<Transfer> under_way_;
  size_t started_ = 0, done_ = 0;  // transfers
};

}  // namespace kvcomm::testing
