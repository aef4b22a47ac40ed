// What Baseline and Skyline have in common: one agent reads and answers, nothing is sent.
#pragma once

#include "method/type.h"

namespace kvcomm {

// Which end's model answers.
Parameter answering_model();
End answering_end(const MethodSpec& spec);

}  // namespace kvcomm
