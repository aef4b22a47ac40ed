// What a stored row says of its sample's tokens, and what these cost.
#pragma once

#include "plan/cost.h"
#include "store/rows.h"

namespace kvcomm {

SampleTokens tokens_of(const SampleRow& row);

// Fills in the row's FLOPs, in closed form; a failed one has no costs.
void set_flops(SampleRow& row, const SampleCost& cost);

}  // namespace kvcomm
