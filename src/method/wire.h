// Contexts as messages: what a sender puts on a channel for chosen layers, and what a receiver
// makes of it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "comm/channel.h"
#include "method/batch.h"

namespace kvcomm {

// Announces keys and values of some layers (ascending) for the whole batch: 2 tensors a layer of
// shape [context tokens, kv_heads, head_dim].
Header kv_header(Batch& batch, std::span<const int> layers);

// One context from each wire, checked against the receiver's own model and batch; notes what came
// in batch.arrivals. A sample whose bytes are not intact is noted as failed.
std::vector<std::shared_ptr<const Context>> receive_contexts(Batch& batch,
                                                             std::span<Channel* const> wires);

}  // namespace kvcomm
