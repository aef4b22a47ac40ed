// The log: one line an event, on standard error, with time and rank. Standard output is for
// results.
#pragma once

#include <spdlog/spdlog.h>

namespace kvcomm {

// The width of the terminal that shows standard error, 0 where none does, or none that can redraw a
// line. KVCOMM_TERMINAL gives it where a launcher stands between (mpirun hands on what ranks
// write).
int terminal_columns();

// Sets pattern and level once, in main; rank < 0 when there is only one process.
// Colours are for terminals, and not where NO_COLOR is set.
void start_log(int rank, spdlog::level::level_enum level = spdlog::level::info);

}  // namespace kvcomm
