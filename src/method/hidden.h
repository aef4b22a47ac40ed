// What AC and hidden-state prepending have in common: activations at the input of the sender's
// layer k go to the input of the receiver's layer j.
#pragma once

#include "method/type.h"

namespace kvcomm {

// The type of such a method: without name, summary, form, parameters, profile, cost and make.
MethodType hidden_type();

// Its profile, which k and j are left out of.
Profile hidden_profile();

}  // namespace kvcomm
