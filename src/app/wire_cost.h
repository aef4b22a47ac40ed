// What a method puts on the wire, in bytes known before any model runs; the ledger counts
// what it really was.
#pragma once

#include <cstdint>
#include <string>

#include "method/spec.h"
#include "model/config.h"
#include "select/fidelity.h"

namespace kvcomm {

// Payload bytes of one sample; all zero: nothing is sent.
struct WireCost {
  int64_t per_context_token = 0;
  int64_t per_sample = 0;
  int64_t per_step = 0;  // for each token or vector that the sender generates
  int64_t most_steps = 0;
  const char* step = "step";
  bool at_most = false;  // importance decides whether layer 0 is among the chosen

  // "11520 B a context token + 384 B a sample", "1152 B a step generated", "nothing".
  std::string text() const;
};

// element: bytes of one number. Fails (kUsage) where the method's layers do not fit the model.
WireCost wire_cost(const MethodSpec& spec, const ModelConfig& model, int64_t element,
                   const Fidelity& fidelity);

// The closed form of each kind of payload, a line each.
std::string wire_forms();

}  // namespace kvcomm
