// A sending end of a lane: its part of each exchange.
#pragma once

#include <c10/core/Device.h>

#include "comm/faults.h"
#include "comm/send_end.h"
#include "method/method.h"
#include "store/rows.h"

namespace kvcomm {

class SendingEnd {
 public:
  // busy: where its seconds are counted; faults: what is to go wrong. All must outlive it.
  SendingEnd(SendEnd& wire, at::Device device, RankRecord& busy, Faults& faults)
      : wire_(wire), device_(device), busy_(busy), faults_(faults) {}

  // Whatever fails here is told to the receiver, which makes the rows; only a broken transport or
  // device throws. Returns without waiting for the receiver, unless it is too far ahead of it.
  // substitute: what goes in each tensor's place, where the exchange is a control.
  void send(const Method& method, Batch& batch, Substitute substitute = nullptr);
  // Lets what was sent advance.
  void attend();
  // Waits until it has left.
  void flush();

 private:
  void tell_failure(const Method& method, const Batch& batch, const std::string& reason,
                    uint64_t offered);

  SendEnd& wire_;
  at::Device device_;
  RankRecord& busy_;
  Faults& faults_;
};

}  // namespace kvcomm
