// This rank's part of a lane that is measured: messages by the ends that a sweep has, and bare
// ones, both timed alike.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/open_ends.h"
#include "lane/seat.h"

namespace kvcomm::bench {

class WireEnds {
 public:
  // Collective over the lane, which must outlive this.
  // bytes_per_s: messages go no faster; 0: as fast as they go.
  WireEnds(Communicator& lane, Seat seat, Seconds timeout_s, double bytes_per_s);

  bool sends() const { return seat_.sends(); }
  bool receives() const { return seat_.receives(); }
  // Whether there is a wire beside which a bare message can be timed.
  bool has_wire() const { return seat_.transport != "loopback"; }

  // Both ends call each of these; the sender's seconds count. They end when the receiver has said
  // that it has all.
  enum class Sums { kOn, kOff };
  // tensors: the header's, at the sender. Fails (kIntegrity) where they do not come as they went.
  Seconds message(Sums sums, const Header& header, const std::vector<at::Tensor>& tensors);
  // So many bytes as one message of MPI's or NCCL's; only where has_wire().
  Seconds raw(uint64_t bytes);

  // What went over with sums so far: by the sender's count where this is the sender.
  Bytes counted() const;
  void forget_samples();

 private:
  PipeEnds& ends(Sums sums) { return sums == Sums::kOn ? with_sums_ : without_sums_; }
  PipeEnds open(bool checksums);
  int peer() const { return seat_.pipe_peers().front(); }
  std::string peer_name() const;
  void move_by_mpi(const at::Tensor& buffer);
  void move_by_nccl(const at::Tensor& buffer);
  void acknowledge();
  // Waits without sleeping, as MPI_Recv does.
  template <typename Done>
  void spin(const Done& done, const char* what) const;

  Communicator& lane_;
  Seat seat_;
  Seconds timeout_s_;
  double bytes_per_s_;
  PipeEnds with_sums_, without_sums_;
  at::Tensor buffer_;  // [bytes] uint8, of the last raw()
};

}  // namespace kvcomm::bench
