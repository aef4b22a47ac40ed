#include "method/decoding.h"

namespace kvcomm {

Decoding make_decoding(const ModelConfig& model, GeneratedBy by, const Fidelity& fidelity,
                       int64_t max_new_tokens) {
  if (fidelity.generation == GenerationSettings::kCommon) {
    return {.max_new_tokens = max_new_tokens, .eos = model.eos};
  }
  if (by == GeneratedBy::kConfigEosOnly) {
    return {.max_new_tokens = max_new_tokens, .eos = model.config_eos};
  }
  return {.max_new_tokens = max_new_tokens,
          .eos = model.generate_eos,
          .repetition_penalty = model.repetition_penalty};
}

}  // namespace kvcomm
