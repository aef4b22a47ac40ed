// The weights' part of a plan: checked by their headers, then known by the hash of every byte.
#pragma once

#include "plan/plan.h"

namespace kvcomm {

// Fills in the pairs' fingerprints and other_head, and the plan's `unhashed`. It is the last step
// before the keys, so that whatever else is wrong is refused before whole files are read. Fails
// (kEnvironment) where weights are missing (but for Absent::kNamed) or not the configuration's.
void plan_weights(Plan& plan, Absent absent, Hashing hashing);

}  // namespace kvcomm
