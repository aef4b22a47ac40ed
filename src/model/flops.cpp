#include "model/flops.h"

#include <algorithm>

namespace kvcomm {

int64_t layer_elements(const ModelConfig& model) {
  const int64_t qkv = (model.heads + 2 * model.kv_heads) * model.head_dim;
  const int64_t o = model.heads * model.head_dim;
  return model.hidden * (qkv + o + 3 * model.intermediate);
}

Flops layer_flops(const ModelConfig& model, int64_t tokens, int64_t pairs) {
  const double attention = 4.0 * static_cast<double>(model.heads * model.head_dim * pairs);
  return {2.0 * static_cast<double>(tokens * layer_elements(model)) + attention, attention};
}

Flops table_flops(const ModelConfig& model, int64_t rows) {
  return {2.0 * static_cast<double>(rows * model.vocab * model.hidden)};
}

Flops flops_of(const ModelConfig& model, const Passes& passes) {
  const int64_t prompt = passes.prompt, steps = std::max<int64_t>(passes.generated - 1, 0);
  Flops flops = table_flops(model, passes.generated * passes.table_products);
  for (const auto& [layers, received] : passes.depths) {
    const int64_t seen = received + prompt;
    const int64_t pairs = prompt * seen + steps * seen + steps * (steps + 1) / 2;
    flops += static_cast<double>(layers) * layer_flops(model, prompt + steps, pairs);
  }
  return flops;
}

}  // namespace kvcomm
