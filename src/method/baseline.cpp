// Baseline: the question is answered without the context: what communication must beat.
//
//   sender                                receiver
//                                         answer(Q)
#include "method/alone.h"
#include "method/method.h"

namespace kvcomm {

namespace {

class Baseline : public Method {
 public:
  explicit Baseline(End model) : model_(model) {}

  std::vector<Request> receive(Batch& batch, std::span<Channel* const> /*wires*/) const override {
    std::vector<Request> requests;
    for (const Sample* sample : batch.samples()) {
      requests.push_back({.prompt = {batch.prompt_builder().baseline(*sample, model_)}});
    }
    return requests;
  }

 private:
  End model_;
};

Profile profile(const MethodSpec& spec, const Fidelity& /*fidelity*/) {
  return {.answers_at = answering_end(spec), .asked = Reading::kBaseline};
}

std::unique_ptr<Method> make(const MethodSpec& spec, std::span<const int> /*chosen*/,
                             int64_t /*model_layers*/, const Fidelity& /*fidelity*/) {
  return std::make_unique<Baseline>(answering_end(spec));
}

}  // namespace

MethodType baseline_type() {
  return {.name = "baseline",
          .summary = "the question alone, without the context",
          .parameters = {answering_model()},
          .profile = profile,
          .make = make};
}

}  // namespace kvcomm
