// Cells as the points of a study's plot: its curves and heat maps (/studies).
#pragma once

#include "store/h5.h"
#include "store/results.h"

namespace kvcomm {

// A row for each cell that varies a parameter.
Table studies_table(const Results& results);

}  // namespace kvcomm
