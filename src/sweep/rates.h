// How fast this kind of machine was before: rates out of stored rows, for a plan's hours.
#pragma once

#include <optional>

#include "plan/cost.h"
#include "store/journal.h"

namespace kvcomm {

// From the rows of the plan's cells that runs on this kind of processor, and of device, have
// answered; what they did not generate takes no time. None: there are none.
std::optional<Rates> stored_rates(const Plan& plan, const Journals& journals);

}  // namespace kvcomm
