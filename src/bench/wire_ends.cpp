#include "bench/wire_ends.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/error.h"
#include "model/device_watch.h"

namespace kvcomm::bench {

namespace {

// On the lane's communicator, beside the pipes' own.
constexpr int kAcknowledgeTag = 32, kRawTag = 33;

}  // namespace

WireEnds::WireEnds(Communicator& lane, Seat seat, Seconds timeout_s, double bytes_per_s)
    : lane_(lane),
      seat_(std::move(seat)),
      timeout_s_(timeout_s),
      bytes_per_s_(bytes_per_s),
      with_sums_(open(/*checksums=*/true)),
      without_sums_(open(/*checksums=*/false)) {}

std::string WireEnds::peer_name() const { return fmt::format("rank {}", peer()); }

PipeEnds WireEnds::open(bool checksums) {
  return open_ends({.transport = seat_.transport,
                    .sends = sends(),
                    .receives = receives(),
                    .peer = peer(),
                    .end = {.device = seat_.device,
                            .timeout_s = timeout_s_,
                            .peer = peer_name(),
                            .checksums = checksums},
                    .bytes_per_s = bytes_per_s_},
                   &lane_);
}

template <typename Done>
void WireEnds::spin(const Done& done, const char* what) const {
  const Deadline deadline(timeout_s_, what, peer_name());
  while (!done()) {
    if (deadline.expired()) deadline.fail_expired();
    std::this_thread::yield();
  }
}

void WireEnds::acknowledge() {
  constexpr const char* kWhat = "the word that all is there";
  if (sends() && receives()) return;
  if (receives()) {
    lane_.send("!", peer(), kAcknowledgeTag, {timeout_s_, kWhat, peer_name()});
  } else {
    spin([&] { return lane_.poll(kAcknowledgeTag, peer()).has_value(); }, kWhat);
  }
}

Seconds WireEnds::message(Sums sums, const Header& header, const std::vector<at::Tensor>& tensors) {
  PipeEnds& now = ends(sums);
  const DeviceWatch watch(seat_.device);
  if (sends()) {
    OutgoingMessage message = now.sender->offer(header);
    for (const at::Tensor& tensor : tensors) message.put(tensor);
    message.close({.work_ended_at_s = now_s()});
    now.sender->flush();
  }
  if (receives()) {
    IncomingMessage message = now.receiver->next(
        {.kind = header.kind, .task = header.task, .cell = header.cell, .attempt = header.attempt});
    message.accept();
    const Delivery delivery = message.take();
    if (!std::ranges::all_of(delivery.intact, std::identity{})) {
      fail(Exit::kIntegrity, "A message's bytes are not those that were sent: their sums differ.");
    }
    wait_for_device(seat_.device);
  }
  acknowledge();
  return watch.elapsed_s();
}

void WireEnds::move_by_mpi(const at::Tensor& buffer) {
  auto owner = std::make_shared<const at::Tensor>(buffer);
  const std::span bytes(static_cast<std::byte*>(buffer.mutable_data_ptr()), buffer.nbytes());
  std::vector<Transfer> parts;
  in_parts(bytes, EndOptions{}.part_bytes, [&](std::span<std::byte> part) {
    parts.push_back(sends() ? lane_.start_send(part, owner, peer(), kRawTag)
                            : lane_.start_receive(part, owner, peer(), kRawTag));
  });
  spin([&] { return std::ranges::all_of(parts, &Transfer::done); }, "a bare message");
}

void WireEnds::move_by_nccl(const at::Tensor& buffer) {
  NcclLink& link = *with_sums_.link;
  link.follow(*link.mark(NcclLink::Stream::kCompute));
  NcclGroup group(link);
  if (sends()) link.send(buffer, peer());
  const at::Tensor back = sends() && receives() ? at::empty_like(buffer) : buffer;
  if (receives()) link.receive(back, peer());
  group.end();
  const auto sent = link.mark(NcclLink::Stream::kTransfer);
  spin([&] { return link.reached(*sent); }, "a bare message");
}

Seconds WireEnds::raw(uint64_t bytes) {
  const bool by_nccl = with_sums_.link != nullptr;
  if (!buffer_.defined() || buffer_.nbytes() != bytes) {
    buffer_ = at::ones(static_cast<int64_t>(bytes),
                       at::TensorOptions(at::kByte).device(by_nccl ? seat_.device : at::kCPU));
  }
  const DeviceWatch watch(seat_.device);
  by_nccl ? move_by_nccl(buffer_) : move_by_mpi(buffer_);
  acknowledge();
  return watch.elapsed_s();
}

Bytes WireEnds::counted() const {
  return sends() ? with_sums_.sender->ledger().total() : with_sums_.receiver->ledger().total();
}

void WireEnds::forget_samples() {
  for (PipeEnds* ends : {&with_sums_, &without_sums_}) {
    if (ends->sender) ends->sender->forget_samples();
    if (ends->receiver) ends->receiver->forget_samples();
  }
}

}  // namespace kvcomm::bench
