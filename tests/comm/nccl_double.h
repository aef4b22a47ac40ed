// Stands for NCCL where there is no GPU: moves the bytes of host tensors by MPI (to itself by
// copy), notes the calls in order, and can be told to hang or to fail.
#pragma once

#include <cstring>
#include <list>
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
  void follow_compute() override { note("c"); }
  bool idle() override {
    if (!failure.empty()) fail(Exit::kEnvironment, "{}", failure);
    while (!under_way_.empty() && under_way_.front().done()) under_way_.pop_front();
    return !hangs && under_way_.empty();
  }
  void abort() noexcept override { note("A"); }
  void mark(Mark mark) override {
    marks_[static_cast<size_t>(mark)] = next_mark_s[static_cast<size_t>(mark)];
  }
  Seconds between(Mark begin, Mark end) override {
    return marks_[static_cast<size_t>(end)] - marks_[static_cast<size_t>(begin)];
  }

  std::string calls;    // "c(ss)": behind the compute stream, a group of two sends; "A": aborted
  bool hangs = false;   // idle() is never true
  std::string failure;  // idle() throws it
  // What the GPU's clock shows at kFirstSend, kComputeEnd, kLastSend.
  std::vector<Seconds> next_mark_s = std::vector<Seconds>(kMarks);

 private:
  struct Half {
    at::Tensor tensor;
    int peer;
    bool is_send;
  };

  void note(const char* call) { calls += call; }

  void start(const Half& half) {
    constexpr int kTag = 1;
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
  std::vector<Seconds> marks_ = std::vector<Seconds>(kMarks);
};

}  // namespace kvcomm::testing
