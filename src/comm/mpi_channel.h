// The channel between two ranks. LaneChannel sends the notes over the lane's communicator;
// MpiChannel the tensors too, from and to host memory (through pinned buffers where they lie on a
// GPU).
#pragma once

#include <deque>
#include <vector>

#include "comm/channel.h"
#include "comm/communicator.h"

namespace kvcomm {

class LaneChannel : public Channel {
 protected:
  // `lane` must outlive the channel; `peer` is the other end's rank in it.
  LaneChannel(Communicator& lane, int peer, ChannelOptions options)
      : Channel(std::move(options)), lane_(lane), peer_(peer) {}
  ~LaneChannel() override;

  Communicator& lane() { return lane_; }
  int peer() const { return peer_; }
  void progress() override;

 private:
  void send_control(ControlMessage note, std::string bytes) override;
  std::optional<std::string> poll_control(ControlMessage note) override;

  Communicator& lane_;
  int peer_;
  std::deque<Transfer> notes_;  // under way
};

class MpiChannel : public LaneChannel {
 public:
  static constexpr int kPayloadTag = 4;  // after the notes'

  MpiChannel(Communicator& lane, int peer, ChannelOptions options);

 protected:
  void send_together(std::span<const at::Tensor> tensors) override;

 private:
  struct Interval {
    Seconds begin_s, end_s;
  };

  void progress() override;
  WireTimes finish_sends(Seconds work_ended_at_s) override;
  std::vector<at::Tensor> start_receives(const Header& header) override;
  uint64_t arrived_bytes() const override;
  uint64_t finish_receives(const Deadline& deadline) override;
  void send_parts(const at::Tensor& on_host);
  void receive_parts(const at::Tensor& on_host);
  bool sends_done();

  std::deque<Transfer> sends_, receives_;
  std::vector<Interval> busy_;  // of this message: when sends were under way
  struct Staged {
    at::Tensor on_host, on_device;
  };
  std::vector<Staged> staged_;  // received for the GPU
  uint64_t arrived_ = 0;
};

}  // namespace kvcomm
