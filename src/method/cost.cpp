#include "method/cost.h"

#include <algorithm>
#include <utility>

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

}  // namespace

SampleCost::SampleCost(const MethodSpec& spec, const Fidelity& fidelity,
                       std::vector<ModelConfig> senders, ModelConfig receiver)
    : profile_(profile_of(spec, fidelity)),
      shares_layers_(shares_layers(spec)),
      first_rows_(fidelity.sink_token),
      senders_(std::move(senders)),
      model_(profile_.receiver_reads() ? std::move(receiver) : senders_.front()) {}

// Rows in front of the answering end's own tokens.
std::vector<Passes::Depth> SampleCost::depths_of(const SampleTokens& tokens) const {
  int64_t context = 0;
  for (const auto& sender : tokens.senders) context += sender.context;
  if (profile_.joined_at) {
    return {{*profile_.joined_at}, {model_.layers - *profile_.joined_at, context}};
  }
  if (!shares_layers_) return {{model_.layers}};
  return {{tokens.whole_layers, context},
          {model_.layers - tokens.whole_layers, first_rows_ ? 1 : 0}};
}

SampleFlops SampleCost::of(const SampleTokens& tokens) const {
  SampleFlops flops;
  for (size_t i = 0; i < tokens.senders.size(); ++i) {
    flops.senders += sender_flops(profile_, senders_[i], tokens.senders[i]);
    if (!profile_.joined_at) continue;
    flops.answering +=
        flops_of(model_, {.depths = {{.layers = model_.layers - *profile_.joined_at}},
                          .prompt = tokens.senders[i].context});
  }
  if (profile_.refines) {
    flops.answering +=
        flops_of(model_, speech(profile_, model_.layers, tokens.first_prompt, tokens.first_answer));
  }
  flops.answering += flops_of(
      model_, {.depths = depths_of(tokens), .prompt = tokens.prompt, .generated = tokens.answer});
  return flops;
}

}  // namespace kvcomm
