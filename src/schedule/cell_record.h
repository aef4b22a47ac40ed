// What the journal is told of a cell.
#pragma once

#include "plan/plan.h"
#include "select/layers.h"
#include "store/rows.h"

namespace kvcomm {

// choice: the layers that it shares, once known; or null.
CellRecord cell_record(const Plan& plan, const Cell& cell, const LayerChoice* choice);

}  // namespace kvcomm
