#include "method/hidden.h"

#include "base/error.h"

namespace kvcomm {

void require_layer(const MethodSpec& spec, const char* key, const char* model, int64_t layers) {
  const auto layer = spec.resolved.at(key).get<int64_t>();
  if (layer < layers) return;
  fail(Exit::kUsage, "{} = {}{} lies outside the {}, whose {} layers are 0 to {}: set {}.", key,
       layer, spec.set.contains(key) ? "" : ", the default,", model, layers, layers - 1, key);
}

namespace {

void check(const MethodSpec& spec, const ModelConfig& sender, const ModelConfig& receiver,
           const Fidelity& /*fidelity*/) {
  require_layer(spec, "k", "sender", sender.layers);
  require_layer(spec, "j", "receiver", receiver.layers);
}

}  // namespace

MethodType hidden_type() { return {.check = check}; }

Profile hidden_profile() {
  return {.sender = Reading::kContext,
          .generated_by = GeneratedBy::kConfigEosOnly,
          .needs_equal_shapes = true,
          .needs_equal_widths = true,
          .one_sender = true};
}

}  // namespace kvcomm
