#include "comm/mpi_transport.h"

#include <ATen/ATen.h>
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

class MpiSending : public Sending {
 public:
  MpiSending(const MpiRoute& route, size_t part_bytes) : route_(route), part_bytes_(part_bytes) {}

  void add(std::span<const at::Tensor> tensors) override {
    done();
    busy_.begin(now_s());
    for (const at::Tensor& tensor : tensors) {
      send_parts(tensor.is_cpu() ? tensor : pinned_like(tensor).copy_(tensor));
    }
  }
  void work_ended(Seconds at_s) override { work_ended_at_s_ = at_s; }
  void progress() override { done(); }
  bool done() override {
    if (sends_.empty()) return true;
    drop_done(sends_);
    if (sends_.empty()) busy_.end(now_s());
    return sends_.empty();
  }
  WireTimes times() override { return busy_.split(work_ended_at_s_); }

 private:
  void send_parts(const at::Tensor& on_host) {
    auto owner = std::make_shared<const at::Tensor>(on_host);
    const std::span bytes(static_cast<const std::byte*>(on_host.const_data_ptr()),
                          on_host.nbytes());
    in_parts(bytes, part_bytes_, [&](std::span<const std::byte> part) {
      sends_.push_back(route_.lane.start_send(part, owner, route_.peer,
                                              route_.first_tag + MpiTransport::kPayloadTag));
    });
  }

  MpiRoute route_;
  size_t part_bytes_;
  std::deque<Transfer> sends_;
  BusyTimes busy_;
  Seconds work_ended_at_s_ = 0;
};

class MpiReceiving : public Receiving {
 public:
  MpiReceiving(const MpiRoute& route, const EndOptions& options, const Header& header)
      : tensors_(allocate(header, options.device)) {
    for (const at::Tensor& tensor : tensors_) {
      on_host_.push_back(tensor.is_cpu() ? tensor : pinned_like(tensor));
    }
    for (const at::Tensor& tensor : on_host_) {
      auto owner = std::make_shared<const at::Tensor>(tensor);
      const std::span bytes(static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes());
      in_parts(bytes, options.part_bytes, [&](std::span<std::byte> part) {
        receives_.push_back(route.lane.start_receive(part, owner, route.peer,
                                                     route.first_tag + MpiTransport::kPayloadTag));
      });
    }
  }

  const std::vector<at::Tensor>& tensors() const override { return tensors_; }
  bool done() override {
    arrived_ += drop_done(receives_);
    if (!receives_.empty()) return false;
    for (size_t i = 0; i < on_host_.size(); ++i) {
      if (!tensors_[i].is_cpu()) tensors_[i].copy_(on_host_[i]);
    }
    on_host_.clear();
    return true;
  }
  uint64_t arrived_bytes() const override { return arrived_; }

 private:
  std::vector<at::Tensor> tensors_;
  std::vector<at::Tensor> on_host_;  // what is received into: the tensors, or buffers for a GPU
  std::deque<Transfer> receives_;    // what is not there by its end is given up
  uint64_t arrived_ = 0;
};

}  // namespace

NotesOverMpi::~NotesOverMpi() {
  try {
    // The last trailer may still be on its way.
    Deadline(options_.timeout_s, "the last notes to be received", options_.peer).require([&] {
      drop_done(notes_);
      return notes_.empty();
    });
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
  }
}

void NotesOverMpi::send_note(ControlMessage kind, std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  notes_.push_back(
      route_.lane.start_send(std::as_bytes(std::span(*owner)), owner, route_.peer, tag(kind)));
}

std::optional<std::string> NotesOverMpi::poll_note(ControlMessage kind) {
  auto received = route_.lane.poll(tag(kind), route_.peer);
  if (!received) return std::nullopt;
  return std::move(received->bytes);
}

void NotesOverMpi::progress() { drop_done(notes_); }

MpiTransport::MpiTransport(const MpiRoute& route, EndOptions options)
    : NotesOverMpi(route, std::move(options)) {
  const size_t part_bytes = this->options().part_bytes;
  if (part_bytes == 0 || part_bytes > Communicator::kMaxBytes) {
    fail(Exit::kInternal, "Messages must go in parts of 1 to {} bytes, not {}.",
         Communicator::kMaxBytes, part_bytes);
  }
}

std::unique_ptr<Sending> MpiTransport::start_sending() {
  return std::make_unique<MpiSending>(route(), options().part_bytes);
}

std::unique_ptr<Receiving> MpiTransport::start_receiving(const Header& header) {
  return std::make_unique<MpiReceiving>(route(), options(), header);
}

}  // namespace kvcomm
