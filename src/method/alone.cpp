#include "method/alone.h"

#include "method/method.h"

namespace kvcomm {

namespace {

class Alone : public Method {
 public:
  Alone(Reading asked, End model) : asked_(asked), model_(model) {}

  std::vector<Request> receive(Batch& batch,
                               std::span<ReceiveEnd* const> /*wires*/) const override {
    std::vector<Request> requests;
    for (const Sample* sample : batch.samples()) {
      requests.push_back({.prompt = {batch.prompt_builder().encoded(*sample, asked_, model_)}});
    }
    return requests;
  }

 private:
  Reading asked_;
  End model_;
};

std::unique_ptr<Method> make(const MethodSpec& spec, std::span<const int> /*chosen*/,
                             int64_t /*model_layers*/, const Fidelity& fidelity) {
  const Profile profile = profile_of(spec, fidelity);
  return std::make_unique<Alone>(profile.asked, profile.answers_at);
}

}  // namespace

MethodType alone_type(decltype(MethodType::profile) profile) {
  return {.parameters = {{.name = "model",
                          .type = ParameterType::kText,
                          .default_value = "receiver",
                          .meaning = "which end's model answers",
                          .choices = {"receiver", "sender"}}},
          .profile = profile,
          .make = make};
}

End answering_end(const MethodSpec& spec) {
  return spec.resolved.at("model") == "sender" ? End::kSender : End::kReceiver;
}

}  // namespace kvcomm
