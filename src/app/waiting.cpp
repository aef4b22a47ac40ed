// How the threads of libtorch's OpenMP (libgomp) wait for each other. By default they spin for some
// 20 ms at the end of each parallel region, and where other processes want the cores too, nearly
// all of the machine's time goes there. libgomp reads its settings once, as it is initialised, so
// that nothing can be set from main(). This runs before any library is initialised, and starts
// `kvcomm run`, `bench` and `doctor` anew with a short spin in the environment: that costs 30 ms,
// after main() had begun it would be half a second. A user's own OMP_WAIT_POLICY or GOMP_SPINCOUNT
// is left as it is.
#include <alloca.h>
#include <linux/limits.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "sweep/signals.h"

namespace kvcomm {

namespace {

char kShortSpin[] = "GOMP_SPINCOUNT=3000";

// The first word that is no option.
std::string_view command(char** argv) {
  for (char** word = argv + 1; *word != nullptr; ++word) {
    if (**word != '-') return *word;
  }
  return "";
}

bool sets_waiting(std::string_view variable) {
  return variable.starts_with("OMP_WAIT_POLICY=") || variable.starts_with("GOMP_SPINCOUNT=");
}

void start_with_short_spin(int, char** argv, char** environment) {
  const bool is_run = command(argv) == "run";
  if (!is_run && command(argv) != "bench" && command(argv) != "doctor") return;
  if (is_run) hold_stop_signals();  // run_command() catches them, after what may take a second
  char** end = environment;
  for (; *end != nullptr; ++end) {
    if (sets_waiting(*end)) return;
  }
  char program[PATH_MAX] = {};
  if (readlink("/proc/self/exe", program, sizeof program - 1) <= 0) return;
  const auto count = static_cast<size_t>(end - environment);
  char** longer = static_cast<char**>(alloca((count + 2) * sizeof(char*)));
  *std::copy_n(environment, count, longer) = kShortSpin;
  longer[count + 1] = nullptr;
  execve(program, argv, longer);
  // Where that cannot be, the program goes on as it is.
}

}  // namespace

#ifndef __SANITIZE_ADDRESS__  // whose run time is not there yet
[[gnu::section(".preinit_array"),
  gnu::used]] void (*const kBeforeAll)(int, char**, char**) = start_with_short_spin;
#endif

}  // namespace kvcomm
