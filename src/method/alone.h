// What Baseline and Skyline have in common: one agent reads and answers, nothing is sent.
#pragma once

#include "method/type.h"

namespace kvcomm {

// The type of such a method, without its name and summary. Its profile says what the agent reads.
MethodType alone_type(decltype(MethodType::profile) profile);

// Of a profile: which end's model answers.
End answering_end(const MethodSpec& spec);

}  // namespace kvcomm
