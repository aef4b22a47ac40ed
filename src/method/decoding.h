// How an end's answers end and are penalised: the one matter in which the release treats methods
// differently (official_behaviour.md, 10).
#pragma once

#include "method/type.h"
#include "model/generate.h"

namespace kvcomm {

// In the paper's fidelity the settings do not matter: generation_config.json's eos list, no
// penalty.
Decoding make_decoding(const ModelConfig& model, GeneratedBy by, const Fidelity& fidelity,
                       int64_t max_new_tokens);

}  // namespace kvcomm
