// A method for tests alone, added as any other is: this file, and a line in the table of methods.
//
//   sender                              receiver
//   context ids ── token ids ──▶        answer(C Q), C's tokens in front of its own
#include <ATen/ATen.h>

#include "method/method.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

class Tell : public Method {
 public:
  std::vector<ScriptMessage> script(size_t /*sender*/) const override {
    return {{PayloadKind::kTokens, {kNoLayer}}};
  }

  void send(Batch& batch, SendEnd& wire) const override {
    std::vector<at::Tensor> ids;
    for (const auto& context : batch.context_ids()) ids.push_back(at::tensor(context, at::kInt));
    OutgoingMessage message =
        wire.offer(rows_header(batch, {.kind = PayloadKind::kTokens,
                                       .rows = batch.context_tokens(),
                                       .context_tokens = batch.context_tokens()}));
    message.put(at::cat(ids).to(batch.agent().model->options().device()));
    message.close({.work_ended_at_s = now_s()});
  }

  std::vector<Request> receive(Batch& batch, std::span<ReceiveEnd* const> wires) const override {
    const auto told = receive_rows(batch, PayloadKind::kTokens, wires);
    std::vector<Request> requests;
    for (size_t i = 0; i < batch.size(); ++i) {
      const at::Tensor context = told.front()[i].to(at::kCPU, at::kLong);
      const int64_t* first = context.const_data_ptr<int64_t>();
      std::vector<int64_t> ids(first, first + context.numel());
      std::ranges::move(batch.prompt_builder().receiver(batch.sample(i)), std::back_inserter(ids));
      requests.push_back({.prompt = {std::move(ids)}});
    }
    return requests;
  }
};

Profile profile(const MethodSpec& /*spec*/, const Fidelity& /*fidelity*/) {
  return {.sender = Reading::kContext, .one_sender = true};
}

WireCost cost(const MethodSpec& /*spec*/, const ModelConfig& /*model*/, int64_t /*element*/,
              const Fidelity& /*fidelity*/) {
  return {.per_context_token = sizeof(int32_t)};
}

std::unique_ptr<Method> make(const MethodSpec& /*spec*/, std::span<const int> /*chosen*/,
                             int64_t /*model_layers*/, const Fidelity& /*fidelity*/) {
  return std::make_unique<Tell>();
}

}  // namespace

MethodType tell_type() {
  return {.name = "tell",
          .summary = "the context's tokens in front of the question's",
          .crosses = "the context's ids",
          .sends_ids = true,
          .form = "4 x context tokens",
          .parameters = {},
          .profile = profile,
          .make = make,
          .cost = cost};
}

}  // namespace kvcomm
