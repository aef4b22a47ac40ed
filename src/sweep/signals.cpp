#include "sweep/signals.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "base/error.h"

namespace kvcomm {

namespace {

std::atomic<bool> stop{false};

extern "C" void on_stop_signal(int) {
  if (stop.exchange(true)) _exit(static_cast<int>(Exit::kStopped));
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe on stdout must not end a sweep
}

bool stop_requested() { return stop.load(); }

}  // namespace kvcomm
