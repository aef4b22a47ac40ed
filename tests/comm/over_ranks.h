// A pipe between two ranks, for tests: rank 0 has the sending end, rank 1 the receiving one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "comm/communicator.h"
#include "comm/receive_end.h"
#include "comm/send_end.h"

namespace kvcomm::testing {

inline Deadline soon() { return {20, "a test's step", "the other rank"}; }

class OverRanks : public ::testing::Test {
 protected:
  bool is_sender() const { return lane_.rank() == 0; }
  int peer() const { return 1 - lane_.rank(); }

  EndOptions options(Seconds timeout_s = 20) const {
    return {.timeout_s = timeout_s,
            .peer = is_sender() ? "rank 1 (receiver)" : "rank 0 (sender)",
            .part_bytes = 100};
  }

  // This rank's end.
  void open(std::unique_ptr<Transport> transport, const EndOptions& options) {
    if (is_sender()) {
      sender_.emplace(std::move(transport), options);
    } else {
      receiver_.emplace(std::move(transport), options);
    }
  }
  const PipeEnd& end() const {
    return is_sender() ? static_cast<const PipeEnd&>(*sender_) : *receiver_;
  }

  Communicator lane_ = Communicator::world();
  std::optional<SendEnd> sender_;
  std::optional<ReceiveEnd> receiver_;
};

}  // namespace kvcomm::testing
