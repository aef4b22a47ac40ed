// How a process was started: by which launcher, on which MPI, with which signals kept from it.
#pragma once

#include <string>
#include <vector>

#include "doctor/check.h"

namespace kvcomm::doctor {

// As the process began, before MPI sets variables of its own.
struct Start {
  std::string launcher;      // "mpirun" | "srun" | "" (none)
  std::string pmix;          // the version that the launcher names; "": it names none
  bool has_pmix = false;     // it speaks PMIx
  int task = 0;              // the launcher's number of this process
  std::vector<int> blocked;  // signals that arrive only once they are unblocked
};

Start look_at_start();

// The blocked signals that /proc/PID/status tells.
std::vector<int> blocked_signals(const std::string& status);

Check check_mpi();
// Whether the launcher's processes found each other: `size` is that of their world.
Check check_launcher_of(const Start& start, int size);
Check check_pmix(const Start& start);
// Sends SIGUSR1 to this process, whose stop signals are caught (sweep/signals.h).
Check check_signals(const Start& start);

}  // namespace kvcomm::doctor
