// Random: KVComm's exchange (kvcomm.cpp) with layers drawn at random.
#include "method/sharing.h"

namespace kvcomm {

namespace {

LayerChoice choose(const MethodSpec& spec, std::span<const double> /*importance*/, int layers,
                   const Fidelity& fidelity) {
  return choose_at_random(spec.resolved.at("seed"), spec.resolved.at("ratio"), layers, fidelity);
}

}  // namespace

MethodType random_type() {
  MethodType type = kv_type();
  type.name = "random";
  type.summary = "layers drawn at random";
  type.parameters = {ratio_parameter(),
                     {.name = "seed",
                      .type = ParameterType::kInteger,
                      .default_value = nullptr,
                      .meaning = "draws the layers",
                      .range = kFromZero}};
  type.choose = choose;
  return type;
}

}  // namespace kvcomm
