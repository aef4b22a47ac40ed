// What moves notes and tensors from one end of a pipe to the other, and knows nothing else of them:
// MPI, NCCL, a queue inside one process, and decorators around any of these.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "comm/message.h"

namespace kvcomm {

// The notes of a message. Those of one kind come in the order in which they were sent.
enum class ControlMessage : int { kHeader = 1, kAnswer = 2, kTrailer = 3 };

// Send time after the end of the sender's work (or the first send, if later), and before it.
struct WireTimes {
  Seconds exposed_s = 0, hidden_s = 0;
};

// A message's payload on its way out. Tensors live and stay as they are until done().
class Sending {
 public:
  virtual ~Sending() = default;

  // The device has been given the work that makes the tensors of the next add() that is not yet
  // told of. A transport that moves them beside later work waits for no more than that.
  virtual void ready() {}
  // Starts to send tensors that go together.
  virtual void add(std::span<const at::Tensor> tensors) = 0;
  // The sender's work on this message ended then; nothing is told of after it.
  virtual void work_ended(Seconds at_s) = 0;
  // Lets them advance.
  virtual void progress() {}
  // Asked after work_ended(): the same; true once all have left.
  virtual bool done() = 0;
  virtual WireTimes times() = 0;  // once done
};

// A message's payload on its way in.
class Receiving {
 public:
  virtual ~Receiving() = default;

  // In the header's order; their content is there once done() is true.
  virtual const std::vector<at::Tensor>& tensors() const = 0;
  // Lets them advance; true once no more will come.
  virtual bool done() = 0;
  // How many bytes have come so far, in order. 0 before done() where the transport cannot say.
  virtual uint64_t arrived_bytes() const = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Notes are small, and sending one does not wait for its arrival.
  virtual void send_note(ControlMessage kind, std::string bytes) = 0;
  virtual std::optional<std::string> poll_note(ControlMessage kind) = 0;

  // Payloads go in the order in which they are started, one message after the other.
  virtual std::unique_ptr<Sending> start_sending() = 0;
  // Makes the header's tensors on this end's device and starts to receive into them.
  virtual std::unique_ptr<Receiving> start_receiving(const Header& header) = 0;

  // Lets notes that are under way advance.
  virtual void progress() {}
  // Whether payload moves only while the host attends to it.
  virtual bool needs_host() const { return true; }
  // A deadline has passed: what is under way will be waited for no longer.
  virtual void give_up() noexcept {}
};

// Uninitialised tensors as the header says.
std::vector<at::Tensor> allocate(const Header& header, at::TensorOptions options);

// The range of tensors that go together with the one at `begin`, those of its layer: its end.
size_t end_of_layer(const Header& header, size_t begin);

// When sends were under way, by the host's clock.
class BusyTimes {
 public:
  void begin(Seconds at_s);  // nothing to say where they are under way already
  void end(Seconds at_s);
  WireTimes split(Seconds work_ended_at_s) const;

 private:
  struct Interval {
    Seconds begin_s, end_s;
  };
  std::vector<Interval> intervals_;
  bool busy_ = false;
};

}  // namespace kvcomm
