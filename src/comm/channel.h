// One ordered, one-way pipe between two agents. A message carries one kind for one batch:
//
//   sender                                receiver
//   offer(header)      ── header ──▶      accept()     or refuse(): nothing more goes over
//                      ◀── ready ──       take_all()   the receives are posted
//   put(tensor) ...    ══ payload ═▶
//   close()            ── trailer ─▶      close_received()   counts and sums compared
//
// The sender never waits for the receiver before close(): what is put before the answer is there is
// sent when it comes. After ready it owes every byte; abandon() settles what an end still owes when
// its work fails, so that both stay in step. The ledger cannot be bypassed: it is fed here.
#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/checksum.h"
#include "comm/deadline.h"
#include "comm/ledger.h"
#include "comm/message.h"

namespace kvcomm {

struct ChannelOptions {
  at::Device device = at::kCPU;  // where the tensors of this end lie
  // Of each wait (run.timeout_s). For the peer's part in an exchange of tokens or vectors, which
  // both ends generate before they talk, as many times that as the message has samples.
  Seconds timeout_s = 600;
  std::string peer = "the peer";        // in messages: "rank 1 (receiver)"
  size_t part_bytes = size_t{1} << 30;  // larger tensors go over MPI in parts of this size
  // What altered payload is known by, alike at both ends. Without them nothing is: that is for
  // measuring what they cost.
  bool checksums = true;
};

// What the receiver's own plan says must come next.
struct Expected {
  PayloadKind kind;
  uint64_t task;
  uint32_t cell, attempt;
  size_t samples = 1;
};

// Of the sender's work on this message: how long it read and generated, and when it was done
// (now_s()).
struct SenderTimes {
  Seconds prefill_s = 0, decode_s = 0;
  Seconds work_ended_at_s = 0;
};

// Send time after the end of the sender's work (or the first send, if later), and before it.
struct WireTimes {
  Seconds exposed_s = 0, hidden_s = 0;
};

struct Delivery {
  Seconds sender_prefill_s = 0, sender_decode_s = 0;
  WireTimes wire;
  std::vector<bool> intact;  // per sample, in the header's order: all sums agree, nothing failed
  std::string failure;       // "": the sender's work is good
};

class Channel {
 public:
  explicit Channel(ChannelOptions options) : options_(std::move(options)) {}
  virtual ~Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // ---- sender
  // Announces a message, before the work. A header with a failure is a whole message in itself.
  void offer(const Header& header);
  // The next tensor of the header's list, contiguous and on this end's device; it is kept, and must
  // not be changed, until close() returns. Tensors of one layer that follow each other go together.
  // Throws (kSomeFailed) with the receiver's reason if it refused; the message is over then.
  void put(const at::Tensor& tensor);
  // After the last tensor: waits for the sends, sends the trailer. Throws as put() does.
  void close(const SenderTimes& times);

  // ---- receiver
  // Waits for the next header. Throws kSomeFailed if the sender failed before it could offer (the
  // message is over), kIntegrity (and refuses) if it is not what is expected.
  Header accept(const Expected& expected);
  // Allocates the message's tensors, posts their receives, answers ready. Their content is valid
  // after close_received(). If it throws, refuse().
  std::vector<at::Tensor> take_all();
  // Waits for payload and trailer. Throws kIntegrity if the ends counted different bytes.
  Delivery close_received();
  // Instead of take_all(): the sender's next put() or close() throws with this reason.
  void refuse(const std::string& reason);

  // ---- both
  // This end's work on the open message failed: settles what it owes. The sender sends the bytes
  // that are missing (whatever they are) and a trailer that says failed; the receiver refuses, or
  // takes what comes and drops it. Nothing to do when no message is open.
  void abandon(const std::string& reason);
  // True after an error of the transport itself: the two ends are no longer in step.
  bool broken() const { return state_ == State::kBroken; }

  // Messages that this end has offered or accepted so far.
  uint64_t messages() const { return messages_; }

  const Ledger& ledger() const { return ledger_; }
  // How long this end has waited for the peer's work so far: for its header, its answer, and its
  // trailer but for the time that the last payload was moving.
  Seconds waited_s() const { return waited_s_; }

  // Drops the ledger's samples and trace; its totals stay.
  void forget_samples() { ledger_.forget_samples(); }

 protected:
  enum class ControlMessage : int { kHeader = 1, kAnswer = 2, kTrailer = 3 };

  const ChannelOptions& options() const { return options_; }
  Deadline deadline(std::string what, size_t times = 1) const {
    return {options_.timeout_s * static_cast<double>(times), std::move(what), options_.peer};
  }
  std::string describe(const Header& header) const;

 private:
  enum class State { kIdle, kOffered, kAccepted, kTaken, kBroken };

  // The back ends. Notes are small, and sending one does not wait for its arrival.
  virtual void send_control(ControlMessage note, std::string bytes) = 0;
  virtual std::optional<std::string> poll_control(ControlMessage note) = 0;
  // Starts to send tensors of one layer; they live until finish_sends() returned.
  virtual void send_together(std::span<const at::Tensor> tensors) = 0;
  // Lets sends that are under way advance.
  virtual void progress() = 0;
  virtual WireTimes finish_sends(Seconds work_ended_at_s) = 0;
  // Makes the header's tensors on this end's device and starts to receive into them.
  virtual std::vector<at::Tensor> start_receives(const Header& header) = 0;
  // How many bytes of the payload have come so far, in order. 0: not known before
  // finish_receives().
  virtual uint64_t arrived_bytes() const { return 0; }
  // Waits for them no longer than the deadline; returns the bytes that came.
  virtual uint64_t finish_receives(const Deadline& deadline) = 0;

  void require_state(State state, const char* call) const;
  std::string receive_control(ControlMessage note, std::string what, size_t samples_generated = 1);
  std::string receive_trailer();
  size_t generated_samples(PayloadKind kind, size_t samples) const;
  void send_counted(ControlMessage note, std::string bytes);
  void check_tensor(const at::Tensor& tensor, size_t index) const;
  void read_answer(const std::string& bytes);
  [[noreturn]] void fail_refused() const;
  void keep(const at::Tensor& tensor);
  at::Tensor stand_in(size_t index) const;
  void sum(std::span<const at::Tensor> tensors);
  void send_whole_layers();
  void await_answer();
  void finish(const SenderTimes& times, const std::string& failure);
  void end_message();
  Delivery judge(const Trailer& trailer) const;

  ChannelOptions options_;
  Ledger ledger_;
  State state_ = State::kIdle;
  uint64_t messages_ = 0;
  Seconds waited_s_ = 0;
  // Of the open message:
  Header header_;
  std::vector<at::Tensor> tensors_;  // put so far, or taken
  size_t sent_ = 0;                  // of them, handed to the back end
  size_t summed_ = 0;                // of them, in sums_
  std::optional<std::string> answer_;
  MessageSums sums_;
};

// Uninitialised tensors as the header says.
std::vector<at::Tensor> allocate(const Header& header, at::TensorOptions options);

// The range of tensors that go together with the one at `begin`: its end.
size_t end_of_layer(const Header& header, size_t begin);

}  // namespace kvcomm
