#include "comm/nccl_channel.h"

#include <spdlog/spdlog.h>

#include <algorithm>
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

using Mark = NcclLink::Mark;

// To be called before each group of sends.
void begin_sends(NcclLink& link, bool& sending) {
  link.follow_compute();
  if (!std::exchange(sending, true)) link.mark(Mark::kFirstSend);
}

// Waits for the sends since begin_sends(); their time by the GPU's own clock. The host's time of
// the prefill's end says little there: it is when the kernels were queued.
WireTimes end_sends(NcclLink& link, bool& sending, const Deadline& deadline) {
  if (!std::exchange(sending, false)) return {};
  link.mark(Mark::kComputeEnd);
  link.mark(Mark::kLastSend);
  if (!deadline.wait([&] { return link.idle(); }, Deadline::kMaxSleepInTransfer)) {
    link.abort();
    deadline.fail_expired();
  }
  const Seconds all_s = std::max(0.0, link.between(Mark::kFirstSend, Mark::kLastSend));
  const Seconds hidden_s =
      std::clamp(link.between(Mark::kFirstSend, Mark::kComputeEnd), 0.0, all_s);
  return {.exposed_s = all_s - hidden_s, .hidden_s = hidden_s};
}

}  // namespace

// ---- NcclChannel

void NcclChannel::send_together(std::span<const at::Tensor> tensors) {
  begin_sends(link_, sending_);
  NcclGroup group(link_);
  for (const at::Tensor& tensor : tensors) {
    if (tensor.numel() > 0) link_.send(tensor, peer());
  }
  group.end();
}

WireTimes NcclChannel::finish_sends(Seconds) {
  return end_sends(link_, sending_, deadline("its receives of the payload"));
}

std::vector<at::Tensor> NcclChannel::start_receives(const Header& header) {
  std::vector<at::Tensor> tensors = allocate(header, options().device);
  posted_ = 0;
  link_.follow_compute();  // the memory may still be in use by kernels of its last owner
  for (size_t begin = 0; begin < tensors.size();) {
    const size_t end = end_of_layer(header, begin);
    NcclGroup group(link_);
    for (; begin < end; ++begin) {
      if (tensors[begin].numel() > 0) link_.receive(tensors[begin], peer());
      posted_ += tensors[begin].nbytes();
    }
    group.end();
  }
  return tensors;
}

// NCCL has no counts of what came: all of it, when the stream is done, or nothing that can be used.
uint64_t NcclChannel::finish_receives(const Deadline& deadline) {
  if (deadline.wait([&] { return link_.idle(); }, Deadline::kMaxSleepInTransfer)) return posted_;
  link_.abort();
  return 0;
}

// ---- NcclSelfChannel

LoopbackEnds NcclSelfChannel::make(NcclLink& link, const ChannelOptions& options) {
  auto queue = std::make_shared<Queue>();
  return {std::unique_ptr<Channel>(new NcclSelfChannel(link, options, queue)),
          std::unique_ptr<Channel>(new NcclSelfChannel(link, options, queue))};
}

void NcclSelfChannel::send_together(std::span<const at::Tensor> tensors) {
  std::vector<at::Tensor> received;
  for (const at::Tensor& tensor : tensors) received.push_back(at::empty_like(tensor));
  begin_sends(link_, sending_);
  NcclGroup group(link_);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].numel() == 0) continue;
    link_.send(tensors[i], 0);
    link_.receive(received[i], 0);
  }
  group.end();
  LoopbackChannel::send_together(received);
}

WireTimes NcclSelfChannel::finish_sends(Seconds) {
  return end_sends(link_, sending_, deadline("the copies on its own GPU"));
}

}  // namespace kvcomm
