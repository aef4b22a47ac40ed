// The end of a lane that answers: takes what its wires bring, asks its model, makes rows. It is the
// receiver's; where a method has the sender's model answer alone, it has no wires.
#pragma once

#include <c10/core/Device.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/faults.h"
#include "comm/receive_end.h"
#include "comm/send_end.h"
#include "lane/pair_session.h"
#include "method/calibration.h"
#include "method/method.h"
#include "tasks/messages.h"

namespace kvcomm {

class AnsweringEnd {
 public:
  // What it hears by, one wire a sender; what it says back by, likewise; and what else this rank
  // sends by. All must outlive it.
  struct Wires {
    std::vector<ReceiveEnd*> in;
    std::vector<SendEnd*> back;
    std::vector<const SendEnd*> outgoing;
  };

  // busy: where its seconds are counted; faults: what is to go wrong. All must outlive it.
  AnsweringEnd(Wires wires, const PairSession& session, at::Device device, RankRecord& busy,
               Faults& faults)
      : wires_(std::move(wires.in)),
        back_(std::move(wires.back)),
        outgoing_(std::move(wires.outgoing)),
        session_(session),
        device_(device),
        busy_(busy),
        faults_(faults) {}

  // The rows of a batch in a cell. What fails makes failed rows; only a broken transport or device
  // throws.
  Report answer(const TaskCell& cell, const Method& method, Batch& batch);
  // Adds the batch's importances, or what failed to `failures`.
  void calibrate(Calibration& calibration, Batch& batch, std::vector<FailureRecord>& failures);

  // Chooses a cell's layers by the one sample of a batch, answers it with all of them, and tells
  // the senders. None: it failed, which they are told too.
  std::optional<std::vector<int>> recalibrate(const TaskCell& cell, Calibration& calibration,
                                              Batch& batch, Report& out);

  // Payload of keys and values that has come so far.
  uint64_t kv_bytes() const;

 private:
  std::vector<Request> receive(const Method& method, Batch& batch);
  void ask(std::vector<Request> requests, const TaskCell& cell, Batch& batch,
           std::vector<SampleRow>& rows);
  RecalibrationRecord chosen(const TaskCell& cell, Calibration& calibration, Batch& batch);
  uint64_t back_bytes() const;
  bool broken() const;
  std::vector<uint64_t> messages() const;
  Seconds waited_s() const;
  void give_up(const Method& method, const Batch& batch, const std::exception& error,
               std::span<const uint64_t> messages_before);

  std::vector<ReceiveEnd*> wires_;
  std::vector<SendEnd*> back_;
  std::vector<const SendEnd*> outgoing_;
  const PairSession& session_;
  at::Device device_;
  RankRecord& busy_;
  Faults& faults_;
};

}  // namespace kvcomm
