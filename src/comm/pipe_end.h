// What the two ends of a pipe between agents have in common. A pipe is ordered and goes one way; a
// message on it carries one kind for one exchange:
//
//   SendEnd                               ReceiveEnd
//   offer(header)      ── header ──▶      next() or poll()
//                      ◀── ready ──       accept()        the receives are posted; or refuse():
//   put(tensor) ...    ══ payload ═▶                      nothing more goes over
//   close()            ── trailer ─▶      take()          counts and sums are compared
//
// Several messages may be open; they are settled in order. After ready the sender owes every byte,
// whatever becomes of its work. Ledger and checksums are fed here from the very buffers handed
// over, so no transport can bypass them.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>

#include "comm/ledger.h"
#include "comm/message.h"
#include "comm/peer_wait.h"
#include "comm/transport.h"

namespace kvcomm {

// How far a sender may be ahead of its receiver.
struct SendWindow {
  size_t messages = 4;                 // that are offered and not over
  uint64_t bytes = uint64_t{1} << 28;  // of payload in those that are closed
};

struct EndOptions {
  at::Device device = at::kCPU;  // where the tensors of this end lie
  // Of each wait (run.timeout_s). For the peer's part in an exchange of tokens or vectors, which
  // both ends generate before they talk, as many times that as the message has samples; but no
  // longer than once for a peer that gives no sign of life.
  Seconds timeout_s = 600;
  std::string peer = "the peer";        // in messages: "rank 1 (receiver of lane 0) on node7"
  SilentFor peer_silent_s = {};         // none: it is not known whether the peer lives
  size_t part_bytes = size_t{1} << 30;  // larger tensors go over MPI in parts of this size
  // What altered payload is known by, alike at both ends. Without them nothing is: that is for
  // measuring what they cost.
  bool checksums = true;
  SendWindow window = {};
};

class PipeEnd {
 public:
  PipeEnd(const PipeEnd&) = delete;
  PipeEnd& operator=(const PipeEnd&) = delete;

  // True after an error of the transport itself: the two ends are no longer in step.
  bool broken() const { return broken_; }
  // Messages that this end has offered or been offered so far.
  uint64_t messages() const { return messages_; }
  // Of the messages that are over.
  const Ledger& ledger() const { return ledger_; }
  // Drops the ledger's samples and trace; its totals stay.
  void forget_samples() { ledger_.forget_samples(); }
  // How long this end has waited for the peer's work so far: for its header, its answer, and its
  // trailer but for the time that the last payload was moving.
  Seconds waited_s() const { return waited_s_; }

 protected:
  PipeEnd(std::unique_ptr<Transport> transport, EndOptions options)
      : transport_(std::move(transport)), options_(std::move(options)) {}
  ~PipeEnd() = default;

  // Work with the transport; what it throws leaves the ends out of step.
  template <typename Work>
  decltype(auto) in_step(Work&& work) {
    require_sound();
    try {
      return work();
    } catch (...) {
      broken_ = true;
      throw;
    }
  }
  void require_sound() const;
  // Waits until done(). If that is in vain the transport gives up what is under way.
  template <typename Done>
  void await(PeerWait& wait, Done&& done, Seconds max_sleep_s = Deadline::kMaxSleep) {
    in_step([&] {
      if (!wait.until(done, max_sleep_s)) fail_in_vain(wait);
    });
  }
  [[noreturn]] void fail_in_vain(const PeerWait& wait);
  PeerWait wait_for(std::string what) const { return wait_for(std::move(what), 1); }
  // For the peer's work for a message with so many samples.
  PeerWait wait_for_work(std::string what, PayloadKind kind, size_t samples) const;
  void send_counted(ControlMessage kind, std::string bytes, MessageCount& count);
  static std::string describe(const Header& header);

  std::unique_ptr<Transport> transport_;
  EndOptions options_;
  Ledger ledger_;
  uint64_t messages_ = 0;
  Seconds waited_s_ = 0;

 private:
  PeerWait wait_for(std::string what, size_t times) const;

  bool broken_ = false;
};

}  // namespace kvcomm
