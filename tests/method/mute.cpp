// A method for tests alone, whose channel drops the content of what is sent: keys and values of all
// layers cross, and the receiver answers as if nothing had.
#include <numeric>

#include "method/method.h"
#include "method/sharing.h"

namespace kvcomm {

namespace {

class Mute : public Method {
 public:
  explicit Mute(int64_t layers) {
    std::vector<int> all(static_cast<size_t>(layers));
    std::iota(all.begin(), all.end(), 0);
    sharing_ = make_kv_sharing({.full_layers = std::move(all), .first_rows = {}}, Start::kBehind);
  }

  std::vector<ScriptMessage> script(size_t sender) const override {
    return sharing_->script(sender);
  }
  void send(Batch& batch, SendEnd& wire) const override { sharing_->send(batch, wire); }
  std::vector<Request> receive(Batch& batch, std::span<ReceiveEnd* const> wires) const override {
    std::vector<Request> requests = sharing_->receive(batch, wires);
    for (Request& request : requests) request = {.prompt = std::move(request.prompt)};
    return requests;
  }

 private:
  std::unique_ptr<Method> sharing_;
};

Profile profile(const MethodSpec& /*spec*/, const Fidelity& /*fidelity*/) {
  return {.sender = Reading::kContext, .needs_equal_shapes = true};
}

WireCost cost(const MethodSpec& /*spec*/, const ModelConfig& model, int64_t element,
              const Fidelity& /*fidelity*/) {
  return {.per_context_token = model.layers * model.kv_bytes_per_token(element)};
}

std::unique_ptr<Method> make(const MethodSpec& /*spec*/, std::span<const int> /*chosen*/,
                             int64_t model_layers, const Fidelity& /*fidelity*/) {
  return std::make_unique<Mute>(model_layers);
}

}  // namespace

MethodType mute_type() {
  return {.name = "mute",
          .summary = "keys and values that the receiver never hears",
          .crosses = "keys and values",
          .form = "2 x layers x context tokens x kv_heads x head_dim x element",
          .parameters = {},
          .profile = profile,
          .make = make,
          .cost = cost};
}

}  // namespace kvcomm
