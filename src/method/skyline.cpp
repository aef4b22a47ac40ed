// Skyline: one agent reads context and question together: what communication can reach at best.
//
//   sender                                receiver
//                                         answer(C Q)
#include "method/alone.h"

namespace kvcomm {

namespace {

Profile profile(const MethodSpec& spec, const Fidelity& /*fidelity*/) {
  return {.answers_at = answering_end(spec), .asked = Reading::kSkyline};
}

}  // namespace

MethodType skyline_type() {
  MethodType type = alone_type(profile);
  type.name = "skyline";
  type.summary = "context and question in one prompt";
  return type;
}

}  // namespace kvcomm
