#include "method/sharing.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "method/method.h"

namespace kvcomm {

Sharing make_sharing(std::span<const int> chosen, int64_t model_layers, const Fidelity& fidelity) {
  Sharing sharing;
  for (int layer = 0; layer < model_layers; ++layer) {
    const bool whole =
        std::ranges::binary_search(chosen, layer) || (layer == 0 && fidelity.keep_layer0);
    if (whole) sharing.full_layers.push_back(layer);
    if (!whole && fidelity.sink_token) sharing.first_rows.push_back(layer);
  }
  return sharing;
}

std::string LayersSent::text() const {
  return least == most ? std::to_string(most) : fmt::format("{} to {}", least, most);
}

LayersSent layers_sent(const MethodSpec& spec, int64_t layers, const Fidelity& fidelity) {
  const std::vector<double> flat(static_cast<size_t>(layers), 0.0);
  const MethodType& type = type_of(spec);
  const std::vector<int> chosen =
      type.choose(spec, flat, static_cast<int>(layers), fidelity).layers();
  const int64_t sent = std::ssize(make_sharing(chosen, layers, fidelity).full_layers);
  const bool ranks = type.profile(spec, fidelity).ranks_layers();
  if (!ranks || !fidelity.keep_layer0) return {sent, sent};
  const int64_t count = std::ssize(chosen);  // any of them, layer 0 perhaps
  return {std::max<int64_t>(count, 1), std::min(count + 1, layers)};
}

Parameter ratio_parameter() {
  return {.name = "ratio",
          .type = ParameterType::kReal,
          .default_value = 0.5,
          .meaning = "share of the layers that is sent",
          .range = kRatio};
}

Profile kv_profile(const MethodSpec& spec, Start start) {
  Profile profile{.sender = Reading::kContext,
                  .generated_by = GeneratedBy::kConfigEosOnly,
                  .needs_equal_shapes = true,
                  .fidelity = {"keep_layer0", "sink_token",
                               start == Start::kShifted ? "shifted_start" : "unselected_prefill"}};
  const auto ratio = spec.resolved.find("ratio");
  if (ratio != spec.resolved.end() && !ratio->is_null()) profile.fidelity.push_back("layer_count");
  return profile;
}

namespace {

Profile profile(const MethodSpec& spec, const Fidelity& /*fidelity*/) {
  return kv_profile(spec, Start::kBehind);
}

std::unique_ptr<Method> make(const MethodSpec& /*spec*/, std::span<const int> chosen,
                             int64_t model_layers, const Fidelity& fidelity) {
  return make_kv_sharing(make_sharing(chosen, model_layers, fidelity), Start::kBehind);
}

void check(const MethodSpec& spec, const ModelConfig& /*sender*/, const ModelConfig& receiver,
           const Fidelity& fidelity) {
  const int64_t layers = receiver.layers;
  if (layers_sent(spec, layers, fidelity).most > 0 || fidelity.sink_token) return;
  fail(Exit::kUsage,
       "ratio = {} of {} layers, rounded down, leaves none to send: raise it to {} or more, or set "
       "fidelity.layer_count = \"ceil\".",
       shortest(spec.resolved.at("ratio")), layers,
       shortest(std::ceil(100 / static_cast<double>(layers)) / 100));
}

WireCost cost(const MethodSpec& spec, const ModelConfig& model, int64_t element,
              const Fidelity& fidelity) {
  const auto [least, whole] = layers_sent(spec, model.layers, fidelity);
  const int64_t token = model.kv_bytes_per_token(element);  // in one layer
  return {.per_context_token = whole * token,
          .per_sample = fidelity.sink_token ? (model.layers - whole) * token : 0,
          .at_most = least < whole};
}

}  // namespace

MethodType kv_type() {
  return {.crosses = "keys and values",
          .form =
              "2 x layers sent x context tokens x kv_heads x head_dim x element;\n"
              "with sink_token also 2 x layers not sent x kv_heads x head_dim x element;\n"
              "with keep_layer0 layer 0 is always sent",
          .profile = profile,
          .make = make,
          .check = check,
          .cost = cost};
}

}  // namespace kvcomm
