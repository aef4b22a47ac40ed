#include "doctor/launch.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/files.h"
#include "base/text.h"
#include "comm/communicator.h"
#include "comm/deadline.h"
#include "comm/mpi_library.h"
#include "lane/topology.h"
#include "sweep/signals.h"

namespace kvcomm::doctor {

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

std::vector<std::string> names_of_stop_signals(const std::vector<int>& signals) {
  std::vector<std::string> names;
  for (const int signal : kStopSignals) {
    if (std::ranges::count(signals, signal) > 0) names.push_back(signal_name(signal));
  }
  return names;
}

// Of the PMIx library that the MPI library has loaded; "" where there is none.
std::string loaded_pmix() {
  void* library = ::dlopen("libpmix.so.2", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return "";
  using Version = const char*();
  auto* version = reinterpret_cast<Version*>(::dlsym(library, "PMIx_Get_version"));
  const std::string text = version == nullptr ? "" : version();
  ::dlclose(library);
  return std::string(strip(text.substr(0, text.find_first_of(",("))));
}

}  // namespace

std::vector<int> blocked_signals(const std::string& status) {
  constexpr std::string_view kMark = "\nSigBlk:\t";
  const size_t at = status.find(kMark);
  if (at == std::string::npos) return {};
  const char* begin = status.data() + at + kMark.size();
  uint64_t mask = 0;
  std::from_chars(begin, status.data() + status.size(), mask, 16);
  std::vector<int> signals;
  for (int signal = 1; signal <= 64; ++signal) {
    if ((mask >> (signal - 1) & 1) != 0) signals.push_back(signal);
  }
  return signals;
}

Start look_at_start() {
  Start start{.pmix = variable("PMIX_VERSION"),
              .has_pmix = !variable("PMIX_RANK").empty(),
              .blocked = blocked_signals(read_file("/proc/self/status"))};
  std::string task;
  if (!variable("OMPI_COMM_WORLD_SIZE").empty() || !variable("PMI_SIZE").empty()) {
    start.launcher = variable("OMPI_COMM_WORLD_SIZE").empty() ? "a launcher with PMI" : "mpirun";
    task = variable("OMPI_COMM_WORLD_RANK") + variable("PMI_RANK");
  } else if (start.has_pmix || !variable("SLURM_STEP_NUM_TASKS").empty()) {
    start.launcher = "srun";
    task = variable("SLURM_PROCID");
  }
  std::from_chars(task.data(), task.data() + task.size(), start.task);
  return start;
}

Check check_mpi() {
  const std::string name = mpi_library_name(), built = mpi_version();
  const std::string found =
      fmt::format("{}, which several threads may call at once (MPI_THREAD_MULTIPLE)", name);
  const std::string version = built.substr(built.find('@') + 1);
  if (name.find(version) != std::string::npos) return {.found = found};
  return {.status = Status::kWarning,
          .found = fmt::format("{}; the program was built with {}", name, built),
          .cure =
              "Start the program with the MPI library that it was built with (its module, or "
              "LD_LIBRARY_PATH), or build it again with this one: launch/setup.sh."};
}

Check check_launcher_of(const Start& start, int size) {
  try {
    check_launcher(size);
  } catch (const Error& error) {
    return {.status = Status::kFailed,
            .found = error.what(),
            .cure =
                "Start the program with `srun --mpi=pmix` (`srun --mpi=list` must name pmix), "
                "or with the mpirun of the Open MPI that `kvcomm --version` names."};
  }
  if (start.launcher.empty()) return {.found = "none: this is one process"};
  return {.found = fmt::format("{}, {} in one world", start.launcher,
                               size == 1 ? "1 process" : fmt::format("{} processes", size))};
}

Check check_pmix(const Start& start) {
  const std::string library = loaded_pmix();
  const std::string ours = library.empty() ? "the MPI library has its own"
                                           : fmt::format("the MPI library uses {}", library);
  if (start.launcher.empty()) return {.status = Status::kSkipped, .found = "no launcher; " + ours};
  if (!start.has_pmix) {
    return {.found = fmt::format("{} does without; {}", start.launcher, ours)};
  }
  return {.found = fmt::format("{} speaks PMIx{}; {}", start.launcher,
                               start.pmix.empty() ? "" : " " + start.pmix, ours)};
}

Check check_signals(const Start& start) {
  constexpr const char* kCure =
      "Let nothing between the launcher and kvcomm block or catch signals: without them a run "
      "cannot stop before its time limit with all that is in hand.";
  const int before = stop_signal();
  if (before == 0) ::kill(::getpid(), SIGUSR1);
  const bool came = Deadline(1, "", "").wait([] { return stop_signal() != 0; });
  const std::vector<std::string> now =
      names_of_stop_signals(blocked_signals(read_file("/proc/self/status")));
  if (!came || !now.empty()) {
    return {.status = Status::kFailed,
            .found = came ? join(now, ", ") + " are blocked" : "SIGUSR1 was sent and not noted",
            .cure = kCure};
  }
  const std::vector<std::string> held = names_of_stop_signals(start.blocked);
  return {.found = fmt::format("SIGUSR1 was sent and noted{}",
                               held.empty() ? ""
                                            : fmt::format("; {} came blocked from what started "
                                                          "this process, and is unblocked",
                                                          join(held, " and ")))};
}

}  // namespace kvcomm::doctor
