// Signals that ask the program to stop: SIGINT, SIGTERM, SIGUSR1, SIGUSR2.
#pragma once

namespace kvcomm {

// The first such signal sets a flag, so that work under way is finished and stored; a second one
// ends the process at once, which loses what was not stored yet and nothing else.
void catch_stop_signals();

bool stop_requested();

}  // namespace kvcomm
