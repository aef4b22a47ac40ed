// What a method does: how two agents communicate. It says what crosses the wire and what the
// receiver is asked; the lane batches, decodes, times and scores. What a method is: type.h.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "method/batch.h"
#include "method/type.h"

namespace kvcomm {

// One message of a method's script, as the ledger's trace will show it.
struct ScriptMessage {
  PayloadKind kind;
  std::vector<int> layers;  // kNoLayer where its tensors belong to none
};

class Method {
 public:
  virtual ~Method() = default;

  // The messages of one exchange that a sender sends, in order.
  virtual std::vector<ScriptMessage> script(size_t /*sender*/) const { return {}; }

  // The sender's part of an exchange: runs to its end without waiting for the answer.
  virtual void send(Batch& /*batch*/, SendEnd& /*wire*/) const {}

  // The answering end's part: one request a sample, its Decoding left to the lane. wires: one a
  // sender, empty where the script is. A sample that cannot be asked is noted in batch.arrivals.
  virtual std::vector<Request> receive(Batch& batch, std::span<ReceiveEnd* const> wires) const = 0;
};

}  // namespace kvcomm
