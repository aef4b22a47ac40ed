#include "comm/mpi_channel.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/error.h"

namespace kvcomm {

namespace {

// Drops what is done, in order, and returns the bytes that were received by it.
uint64_t drop_done(std::deque<Transfer>& transfers) {
  uint64_t received = 0;
  for (; !transfers.empty() && transfers.front().done(); transfers.pop_front()) {
    received += transfers.front().received_bytes();
  }
  return received;
}

at::Tensor pinned_like(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(true));
}

}  // namespace

// ---- LaneChannel: header, answer and trailer

LaneChannel::~LaneChannel() {
  try {
    // The last trailer may still be on its way.
    deadline("the last notes to be received").require([&] {
      drop_done(notes_);
      return notes_.empty();
    });
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
  }
}

void LaneChannel::send_control(ControlMessage note, std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  notes_.push_back(
      lane_.start_send(std::as_bytes(std::span(*owner)), owner, peer_, static_cast<int>(note)));
}

std::optional<std::string> LaneChannel::poll_control(ControlMessage note) {
  auto received = lane_.poll(static_cast<int>(note), peer_);
  if (!received) return std::nullopt;
  return std::move(received->bytes);
}

void LaneChannel::progress() { drop_done(notes_); }

// ---- MpiChannel

MpiChannel::MpiChannel(Communicator& lane, int peer, ChannelOptions options)
    : LaneChannel(lane, peer, std::move(options)) {
  if (this->options().part_bytes == 0 || this->options().part_bytes > Communicator::kMaxBytes) {
    fail(Exit::kInternal, "A channel's parts must be of 1 to {} bytes, not {}.",
         Communicator::kMaxBytes, this->options().part_bytes);
  }
}

bool MpiChannel::sends_done() {
  if (sends_.empty()) return true;
  drop_done(sends_);
  if (sends_.empty()) busy_.back().end_s = now_s();
  return sends_.empty();
}

void MpiChannel::progress() {
  LaneChannel::progress();
  sends_done();
  arrived_ += drop_done(receives_);
}

uint64_t MpiChannel::arrived_bytes() const { return arrived_; }

void MpiChannel::send_parts(const at::Tensor& on_host) {
  auto owner = std::make_shared<const at::Tensor>(on_host);
  const std::span bytes(static_cast<const std::byte*>(on_host.const_data_ptr()), on_host.nbytes());
  in_parts(bytes, options().part_bytes, [&](std::span<const std::byte> part) {
    sends_.push_back(lane().start_send(part, owner, peer(), kPayloadTag));
  });
}

void MpiChannel::send_together(std::span<const at::Tensor> tensors) {
  sends_done();
  if (sends_.empty()) busy_.push_back({now_s(), now_s()});
  for (const at::Tensor& tensor : tensors) {
    send_parts(tensor.is_cpu() ? tensor : pinned_like(tensor).copy_(tensor));
  }
}

WireTimes MpiChannel::finish_sends(Seconds work_ended_at_s) {
  deadline("its receives of the payload")
      .require([&] { return sends_done(); }, Deadline::kMaxSleepInTransfer);
  WireTimes times;
  if (!busy_.empty()) {
    const Seconds from_s = std::max(busy_.front().begin_s, work_ended_at_s);
    times.exposed_s = std::max(0.0, busy_.back().end_s - from_s);
    for (const Interval& busy : busy_) {
      times.hidden_s += std::max(0.0, std::min(busy.end_s, work_ended_at_s) - busy.begin_s);
    }
  }
  busy_.clear();
  return times;
}

void MpiChannel::receive_parts(const at::Tensor& on_host) {
  auto owner = std::make_shared<const at::Tensor>(on_host);
  const std::span bytes(static_cast<std::byte*>(on_host.mutable_data_ptr()), on_host.nbytes());
  in_parts(bytes, options().part_bytes, [&](std::span<std::byte> part) {
    receives_.push_back(lane().start_receive(part, owner, peer(), kPayloadTag));
  });
}

std::vector<at::Tensor> MpiChannel::start_receives(const Header& header) {
  std::vector<at::Tensor> tensors = allocate(header, options().device);
  staged_.clear();
  if (!options().device.is_cpu()) {
    for (const at::Tensor& tensor : tensors) staged_.push_back({pinned_like(tensor), tensor});
  }
  arrived_ = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    receive_parts(staged_.empty() ? tensors[i] : staged_[i].on_host);
  }
  return tensors;
}

uint64_t MpiChannel::finish_receives(const Deadline& deadline) {
  deadline.wait(
      [&] {
        arrived_ += drop_done(receives_);
        return receives_.empty();
      },
      Deadline::kMaxSleepInTransfer);
  receives_.clear();  // gives up what did not come
  for (const Staged& staged : staged_) staged.on_device.copy_(staged.on_host);
  staged_.clear();
  return arrived_;
}

}  // namespace kvcomm
