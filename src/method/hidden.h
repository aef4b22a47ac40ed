// Methods that work on activations at the input of a layer. AC and hidden-state prepending: those
// of the sender's layer k go to the input of the receiver's layer j.
#pragma once

#include "method/type.h"

namespace kvcomm {

// The type of such a method: without name, summary, form, parameters, profile, cost and make.
MethodType hidden_type();

// Fails (kUsage) where the layer that a parameter names lies outside a model of so many. model:
// which it is, as the sentence calls it.
void require_layer(const MethodSpec& spec, const char* key, const char* model, int64_t layers);

// Its profile, which k and j are left out of.
Profile hidden_profile();

}  // namespace kvcomm
