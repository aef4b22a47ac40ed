// What methods put on a wire and what a receiver makes of it: contexts, token ids, vectors;
// and what a receiver says back.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "method/batch.h"

namespace kvcomm {

// What must come next of an exchange with so many samples.
Expected expected(const ExchangeId& exchange, PayloadKind kind, size_t samples);

// Says in a message's place that the sender failed before it could make one.
Header failure_header(const ExchangeId& exchange, PayloadKind kind, std::string reason);

// A message of one tensor, each row of it an id (kTokens) or a vector of [hidden].
struct RowsMessage {
  PayloadKind kind;
  int layer = kNoLayer;                 // that the vectors belong to
  std::vector<int64_t> rows;            // of each sample
  std::vector<int64_t> context_tokens;  // of the prompt that the sender read for each sample
};
Header rows_header(const Batch& batch, const RowsMessage& message);

// Keys and values for the whole batch: 2 tensors a layer of shape [rows, kv_heads, head_dim].
// full_layers: those of which all context tokens go, ascending; first_rows: those of which each
// context's first token goes, ascending.
Header kv_header(Batch& batch, std::span<const int> full_layers, std::span<const int> first_rows);

// The rows of each sequence's first token: [sequences, ...].
LayerKv first_rows_of(const LayerKv& kv, std::span<const std::vector<int64_t>> sequences);

// One context from each wire, checked against the receiver's own model and batch; notes what came
// in batch.arrivals. A sample whose bytes are not intact is noted as failed.
std::vector<std::shared_ptr<const Context>> receive_contexts(Batch& batch,
                                                             std::span<ReceiveEnd* const> wires);

// What each wire brought of a message with one tensor: [wires][samples], a sample's rows each. A
// sample without rows is noted as failed, as is one whose bytes are not intact.
std::vector<std::vector<at::Tensor>> receive_rows(Batch& batch, PayloadKind kind,
                                                  std::span<ReceiveEnd* const> wires);

// What a receiver says back of a batch of one sample: the layers that it chose. Both fail as the
// others do.
void send_layers(const Batch& batch, SendEnd& back, std::span<const int> layers);
std::vector<int> receive_layers(Batch& batch, ReceiveEnd& back);

}  // namespace kvcomm
