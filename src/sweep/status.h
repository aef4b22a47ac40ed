// How far the sweeps of an output folder are, by its journals and locks alone. Nothing is written,
// no model and no data are needed: it may be asked while they run, on any machine that sees the
// folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "store/journal.h"
#include "store/locks.h"

namespace kvcomm {

enum class Stage {
  kNothing,      // no run has said what it wants
  kCalibrating,  // runs live, and have to measure importances before they answer
  kAnswering,    // runs live
  kStopped,      // answers are left, and no run lives
  kFinished      // none is left; some may have failed
};
std::string_view name(Stage stage);  // "nothing yet", "calibrating", ...

struct CellStatus {
  std::string pair, dataset, method;
  uint64_t wanted = 0, done = 0, failed = 0, left = 0;
  bool uncalibrated = false;  // it waits for a calibration
};

enum class Life {
  kLives,   // it touched its locks within kStaleAfter_s
  kSilent,  // it did not, and whether it ended cannot be seen from here
  kGone     // it ended without giving its pairs back
};
std::string_view name(Life life);  // "lives", "silent", "gone"

// A run that holds pairs.
struct RunStatus {
  std::string run_id;  // "": it has begun no journal yet
  std::string owner;   // "host node7, process 1234, job 88"
  std::vector<std::string> pairs;
  Life life = Life::kLives;
  Seconds untouched_s = 0;  // since it last touched its locks, by this machine's clock
  uint64_t rows = 0;        // that it wrote
};

// Those whose locks were seen, before the journals were read.
std::vector<RunStatus> runs_of(const std::vector<LockSeen>& locks, const Journals& journals);

// Whether one of them that lives still writes this journal.
bool is_written(const std::filesystem::path& journal, const std::vector<RunStatus>& runs);

struct Status {
  Stage stage = Stage::kNothing;
  std::vector<CellStatus> cells;  // that are wanted (wanted.h)
  std::vector<RunStatus> runs;
  size_t ended = 0;                 // runs with a journal that hold no pair any more
  uint64_t rows = 0;                // of all runs, retries included
  std::optional<double> rate;       // answers a second, where runs live and that can be told
  std::optional<Seconds> over_s;    // that the rate is of; none: since the runs that live began
  std::vector<std::string> faults;  // of journals; the half line that a living run ends in is none
};

// Answers that are wanted, in cells of one pair and data set or of all.
CellStatus sum_of(const std::vector<CellStatus>& cells);

// Seconds since the epoch at which a run began, by its id; nothing where that does not tell.
std::optional<Seconds> began_s(std::string_view run_id);

// Fails (kUsage) where it is no output folder.
Status status_of(const std::filesystem::path& output);

// Looks twice, so many seconds apart: the rate is of what came meanwhile.
Status status_over(const std::filesystem::path& output, Seconds seconds);

}  // namespace kvcomm
