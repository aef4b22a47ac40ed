#include "sweep/signals.h"

#include <fmt/format.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

#include "base/error.h"

namespace kvcomm {

namespace {

std::atomic<int> first_signal{0};

extern "C" void on_stop_signal(int signal) {
  if (first_signal.exchange(signal) != 0) _exit(static_cast<int>(Exit::kStopped));
}

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

void mask_stop_signals(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kStopSignals) sigaddset(&set, signal);
  sigprocmask(how, &set, nullptr);
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : kStopSignals) sigaction(signal, &action, nullptr);
  mask_stop_signals(SIG_UNBLOCK);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe on stdout must not end a sweep
}

void hold_stop_signals() { mask_stop_signals(SIG_BLOCK); }

int stop_signal() { return first_signal.load(); }

std::string signal_name(int signal) {
  const char* name = sigabbrev_np(signal);
  return name == nullptr ? fmt::format("signal {}", signal) : fmt::format("SIG{}", name);
}

}  // namespace kvcomm
