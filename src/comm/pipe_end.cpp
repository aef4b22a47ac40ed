#include "comm/pipe_end.h"

#include <algorithm>

#include "base/error.h"

namespace kvcomm {

void PipeEnd::require_sound() const {
  if (!broken_) return;
  fail(Exit::kInternal, "The pipe to {} is broken: nothing goes over it any more.", options_.peer);
}

void PipeEnd::fail_expired(const Deadline& limit) {
  broken_ = true;
  transport_->give_up();
  limit.fail_expired();
}

// For tokens and vectors the peer generates, sample by sample, before it comes to its exchange.
Deadline PipeEnd::deadline(std::string what, PayloadKind kind, size_t samples) const {
  const bool generates = kind == PayloadKind::kTokens || kind == PayloadKind::kVectors;
  const size_t times = generates ? std::max<size_t>(samples, 1) : 1;
  return {options_.timeout_s * static_cast<double>(times), std::move(what), options_.peer};
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
