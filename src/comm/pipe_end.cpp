#include "comm/pipe_end.h"

#include <algorithm>

#include "base/error.h"

namespace kvcomm {

void PipeEnd::require_sound() const {
  if (!broken_) return;
  fail(Exit::kInternal, "The pipe to {} is broken: nothing goes over it any more.", options_.peer);
}

void PipeEnd::fail_in_vain(const PeerWait& wait) {
  broken_ = true;
  transport_->give_up();
  wait.fail_in_vain();
}

// For tokens and vectors the peer generates, sample by sample, before it comes to its exchange.
PeerWait PipeEnd::wait_for_work(std::string what, PayloadKind kind, size_t samples) const {
  const bool generates = kind == PayloadKind::kTokens || kind == PayloadKind::kVectors;
  return wait_for(std::move(what), generates ? std::max<size_t>(samples, 1) : 1);
}

PeerWait PipeEnd::wait_for(std::string what, size_t times) const {
  return {std::move(what),
          options_.peer,
          {.in_all_s = options_.timeout_s * static_cast<double>(times),
           .in_silence_s = options_.timeout_s},
          options_.peer_silent_s};
}

void PipeEnd::send_counted(ControlMessage kind, std::string bytes, MessageCount& count) {
  count.header += bytes.size();
  transport_->send_note(kind, std::move(bytes));
}

std::string PipeEnd::describe(const Header& header) {
  return fmt::format("{} message of task {}, cell {}, attempt {}", name(header.kind), header.task,
                     header.cell, header.attempt);
}

}  // namespace kvcomm
