// Both ends of a pipe in one process, for tests.
#pragma once

#include <utility>

#include "comm/loopback_transport.h"
#include "comm/receive_end.h"
#include "comm/send_end.h"

namespace kvcomm::testing {

struct LoopbackPipe {
  explicit LoopbackPipe(const EndOptions& options = {})
      : LoopbackPipe(LoopbackTransport::make(), options) {}
  LoopbackPipe(LoopbackTransport::Ends ends, const EndOptions& options)
      : sender(std::move(ends.sender), options), receiver(std::move(ends.receiver), options) {}

  SendEnd sender;
  ReceiveEnd receiver;
};

}  // namespace kvcomm::testing
