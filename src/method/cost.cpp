#include "method/cost.h"

#include <algorithm>

namespace kvcomm {

namespace {

// Vectors end by one that is not emitted, unless there are as many as there may be.
Passes speech(const Profile& profile, int64_t layers, int64_t prompt, int64_t said) {
  Passes passes{.depths = {{.layers = layers}}, .prompt = prompt, .generated = said};
  if (profile.vector_steps > 0) {
    passes.generated = std::min(said + 1, profile.vector_steps);
    passes.table_products = 3;  // with the head; the mean of the table; what is nearest to that
  }
  return passes;
}

Flops sender_flops(const Profile& profile, const ModelConfig& model,
                   const SampleTokens::Sender& tokens) {
  if (profile.sender == Reading::kNothing) return {};
  if (profile.refines) {
    return flops_of(model, speech(profile, model.layers, tokens.context, tokens.said));
  }
  const int64_t layers = profile.sender_layers.value_or(model.layers);
  return flops_of(model, {.depths = {{.layers = layers}}, .prompt = tokens.context});
}

// Rows in front of the answering end's own tokens.
std::vector<Passes::Depth> depths_of(const MethodSpec& spec, const Profile& profile,
                                     const Fidelity& fidelity, int64_t layers,
                                     const SampleTokens& tokens) {
  int64_t context = 0;
  for (const auto& sender : tokens.senders) context += sender.context;
  if (profile.joined_at) return {{*profile.joined_at}, {layers - *profile.joined_at, context}};
  if (!shares_layers(spec)) return {{layers}};
  const int64_t first_row = fidelity.sink_token ? 1 : 0;
  return {{tokens.whole_layers, context}, {layers - tokens.whole_layers, first_row}};
}

}  // namespace

SampleFlops sample_flops(const MethodSpec& spec, const Fidelity& fidelity,
                         std::span<const ModelConfig> senders, const ModelConfig& receiver,
                         const SampleTokens& tokens) {
  const Profile profile = profile_of(spec, fidelity);
  const ModelConfig& model = profile.receiver_reads() ? receiver : senders.front();
  SampleFlops flops;
  for (size_t i = 0; i < tokens.senders.size(); ++i) {
    flops.senders += sender_flops(profile, senders[i], tokens.senders[i]);
    if (!profile.joined_at) continue;
    flops.answering += flops_of(model, {.depths = {{.layers = model.layers - *profile.joined_at}},
                                        .prompt = tokens.senders[i].context});
  }
  if (profile.refines) {
    flops.answering +=
        flops_of(model, speech(profile, model.layers, tokens.first_prompt, tokens.first_answer));
  }
  flops.answering +=
      flops_of(model, {.depths = depths_of(spec, profile, fidelity, model.layers, tokens),
                       .prompt = tokens.prompt,
                       .generated = tokens.answer});
  return flops;
}

}  // namespace kvcomm
