#include "method/method.h"

#include "base/error.h"

namespace kvcomm {

namespace {

End end_of(const MethodSpec& spec) {
  return spec.resolved.at("model") == "sender" ? End::kSender : End::kReceiver;
}

bool given_by_hand(const MethodSpec& spec) {
  return spec.name == "kvcomm" && !spec.resolved.at("layers").is_null();
}

}  // namespace

bool shares_layers(const MethodSpec& spec) {
  return spec.name == "kvcomm" || spec.name == "random" || spec.name == "contiguous";
}

bool needs_importance(const MethodSpec& spec) {
  return spec.name == "kvcomm" && !given_by_hand(spec);
}

std::unique_ptr<Method> make_method(const MethodSpec& spec, std::span<const int> layers) {
  if (spec.name == "baseline") return make_baseline(end_of(spec));
  if (spec.name == "skyline") return make_skyline(end_of(spec));
  if (shares_layers(spec)) return make_kvcomm(layers);
  fail(Exit::kInternal, "Method '{}' is in the table, but nothing makes it.", spec.name);
}

LayerChoice choose_layers(const MethodSpec& spec, std::span<const double> importance, int layers,
                          const Fidelity& fidelity) {
  const auto& value = spec.resolved;
  if (spec.name == "random")
    return choose_at_random(value.at("seed"), value.at("ratio"), layers, fidelity);
  if (spec.name == "contiguous") return choose_contiguous(value.at("from"), value.at("to"), layers);
  if (given_by_hand(spec)) return choose_given(value.at("layers").get<std::vector<int>>(), layers);
  const Prior prior{.alpha = value.at("alpha"), .mu = value.at("mu"), .sigma = value.at("sigma")};
  return choose_by_importance(importance, value.at("ratio"), prior, fidelity);
}

}  // namespace kvcomm
