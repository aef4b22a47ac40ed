// AC, activation communication: the sender's last activation goes into the receiver's last token.
//
//   sender                                            receiver
//   read(C) below layer k ── its last token's x ──▶   answer(Q), where at the input of layer j
//                                                     x[last] = f(x[last], the sender's)
//
// At prefill alone; nothing else is shared, and the receiver's tokens start at 0 (method.md,
// "Methods compared"; official_behaviour.md, "AC").
#include <ATen/ATen.h>

#include "method/hidden.h"
#include "method/method.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

struct AcOptions {
  std::string f;  // "replace", "sum", "mean"
  int64_t k = 0;  // the sender's layer whose input goes
  int64_t j = 0;  // the receiver's layer whose input it changes
};

class Ac : public Method {
 public:
  explicit Ac(AcOptions options) : options_(std::move(options)) {}

  std::vector<ScriptMessage> script(size_t /*sender*/) const override {
    return {{PayloadKind::kHidden, {static_cast<int>(options_.k)}}};
  }

  void send(Batch& batch, SendEnd& wire) const override {
    OutgoingMessage message =
        wire.offer(rows_header(batch, {.kind = PayloadKind::kHidden,
                                       .layer = static_cast<int>(options_.k),
                                       .rows = std::vector<int64_t>(batch.size(), 1),
                                       .context_tokens = batch.context_tokens()}));
    const Batch::Hidden& hidden = batch.hidden(options_.k);
    message.put(hidden.rows);
    message.close(hidden.times);
  }

  std::vector<Request> receive(Batch& batch, std::span<ReceiveEnd* const> wires) const override {
    const auto hidden = receive_rows(batch, PayloadKind::kHidden, wires);
    std::vector<Request> requests;
    for (size_t i = 0; i < batch.size(); ++i) {
      requests.push_back({.prompt = {batch.prompt_builder().receiver(batch.sample(i))},
                          .edit = Edit{.layer = options_.j, .apply = graft(hidden.front()[i])}});
    }
    return requests;
  }

 private:
  // x[last] = f(x[last], theirs); theirs [1, hidden].
  std::function<void(at::Tensor&)> graft(const at::Tensor& theirs) const {
    return [f = options_.f, theirs](at::Tensor& x) {
      at::Tensor last = x.narrow(0, x.size(0) - 1, 1);
      if (f == "replace") {
        last.copy_(theirs);
      } else if (f == "sum") {
        last.add_(theirs);
      } else {
        last.add_(theirs).mul_(0.5);
      }
    };
  }

  AcOptions options_;
};

// ---- what it is

Profile profile(const MethodSpec& spec, const Fidelity& /*fidelity*/) {
  Profile profile = hidden_profile();
  profile.sender_layers = spec.resolved.at("k").get<int64_t>();
  return profile;
}

WireCost cost(const MethodSpec& /*spec*/, const ModelConfig& model, int64_t element,
              const Fidelity& /*fidelity*/) {
  return {.per_sample = model.hidden * element};
}

std::unique_ptr<Method> make(const MethodSpec& spec, std::span<const int> /*chosen*/,
                             int64_t /*model_layers*/, const Fidelity& /*fidelity*/) {
  return std::make_unique<Ac>(AcOptions{
      .f = spec.resolved.at("f"), .k = spec.resolved.at("k"), .j = spec.resolved.at("j")});
}

}  // namespace

MethodType ac_type() {
  using enum ParameterType;
  MethodType type = hidden_type();
  type.name = "ac";
  type.summary =
      "the last context token at layer k takes the place of the last question token at layer j";
  type.crosses = "a hidden state";
  type.form = "hidden x element";
  type.parameters = {
      {"f", kText, "replace", "what becomes of it there", {"replace", "sum", "mean"}},
      {"k", kInteger, 26, "the sender's layer whose input is sent", {}, kLayer},
      {"j", kInteger, 26, "the receiver's layer at whose input it goes in", {}, kLayer}};
  type.profile = profile;
  type.cost = cost;
  type.make = make;
  return type;
}

}  // namespace kvcomm
