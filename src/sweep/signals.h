// Signals that ask the program to stop: SIGINT, SIGTERM, SIGUSR1, SIGUSR2.
#pragma once

#include <string>

namespace kvcomm {

// The first such signal is noted; a second one ends the process at once with kStopped, which loses
// what was not stored yet and nothing else.
void catch_stop_signals();

// Keeps them back until catch_stop_signals(), also across execve(). May be called before libraries
// are initialised.
void hold_stop_signals();

// The first that came; 0: none did.
int stop_signal();

std::string signal_name(int signal);  // "SIGINT"

}  // namespace kvcomm
