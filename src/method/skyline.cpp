// Skyline: one agent reads context and question together: what communication can reach at best.
//
//   sender                                receiver
//                                         answer(C Q)
#include "method/alone.h"
#include "method/method.h"

namespace kvcomm {

namespace {

class Skyline : public Method {
 public:
  explicit Skyline(End model) : model_(model) {}

  std::vector<Request> receive(Batch& batch, std::span<Channel* const> /*wires*/) const override {
    std::vector<Request> requests;
    for (const Sample* sample : batch.samples()) {
      requests.push_back({.prompt = {batch.prompt_builder().skyline(*sample, model_)}});
    }
    return requests;
  }

 private:
  End model_;
};

Profile profile(const MethodSpec& spec, const Fidelity& /*fidelity*/) {
  return {.answers_at = answering_end(spec), .asked = Reading::kSkyline};
}

std::unique_ptr<Method> make(const MethodSpec& spec, std::span<const int> /*chosen*/,
                             int64_t /*model_layers*/, const Fidelity& /*fidelity*/) {
  return std::make_unique<Skyline>(answering_end(spec));
}

}  // namespace

MethodType skyline_type() {
  return {.name = "skyline",
          .summary = "context and question in one prompt",
          .parameters = {answering_model()},
          .profile = profile,
          .make = make};
}

}  // namespace kvcomm
