// Baseline: the question is answered without the context: what communication must beat.
//
//   sender                                receiver
//                                         answer(Q)
#include "method/alone.h"

namespace kvcomm {

namespace {

Profile profile(const MethodSpec& spec, const Fidelity& /*fidelity*/) {
  return {.answers_at = answering_end(spec), .asked = Reading::kBaseline};
}

}  // namespace

MethodType baseline_type() {
  MethodType type = alone_type(profile);
  type.name = "baseline";
  type.summary = "the question alone, without the context";
  return type;
}

}  // namespace kvcomm
