// The log: one line an event, on standard error, with time and rank. Standard output is for
// results.
#pragma once

#include <spdlog/spdlog.h>

namespace kvcomm {

// Sets pattern and level once, in main; rank < 0 when there is only one process.
void start_log(int rank, spdlog::level::level_enum level = spdlog::level::info);

}  // namespace kvcomm
