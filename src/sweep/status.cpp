#include "sweep/status.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <map>
#include <thread>

#include "base/error.h"
#include "sweep/wanted.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

void require_output_folder(const fs::path& output) {
  std::error_code error;
  if (fs::is_directory(journal_folder(output), error) ||
      fs::is_directory(output / "locks", error)) {
    return;
  }
  fail(Exit::kUsage,
       "'{}' holds neither journals nor locks: give the folder that a sweep writes to.",
       output.string());
}

Life life_of(const LockSeen& lock) {
  if (lock.gone) return Life::kGone;
  return lock.untouched_s < kStaleAfter_s ? Life::kLives : Life::kSilent;
}

// The newest journal of a process; "": it has none. A process id may have been another's before.
const RunJournal* journal_of(const ProcessId& process, const Journals& journals) {
  const std::string end = fmt::format("-{}-{}", file_name_for(process.host), process.pid);
  const auto found =
      std::find_if(journals.runs.rbegin(), journals.runs.rend(),
                   [&](const RunJournal& run) { return run.file.stem().string().ends_with(end); });
  return found == journals.runs.rend() ? nullptr : &*found;
}

bool lives(const RunStatus& run) { return run.life == Life::kLives; }

Stage stage_of(const Status& status) {
  if (status.cells.empty()) return Stage::kNothing;
  if (sum_of(status.cells).left == 0) return Stage::kFinished;
  if (std::ranges::none_of(status.runs, lives)) return Stage::kStopped;
  const auto waits = [](const CellStatus& cell) { return cell.left > 0 && cell.uncalibrated; };
  const auto has_answered = [](const RunStatus& run) { return lives(run) && run.rows > 0; };
  return std::ranges::any_of(status.cells, waits) && std::ranges::none_of(status.runs, has_answered)
             ? Stage::kCalibrating
             : Stage::kAnswering;
}

// Of the runs that live, each since it began.
std::optional<double> average_rate(const std::vector<RunStatus>& runs) {
  const Seconds now_s =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  double rate = 0;
  for (const RunStatus& run : runs) {
    const std::optional<Seconds> from_s = began_s(run.run_id);
    if (!lives(run) || !from_s || now_s <= *from_s) continue;
    rate += static_cast<double>(run.rows) / (now_s - *from_s);
  }
  return rate > 0 ? std::optional(rate) : std::nullopt;
}

}  // namespace

std::string_view name(Stage stage) {
  switch (stage) {
    case Stage::kNothing:
      return "nothing yet";
    case Stage::kCalibrating:
      return "calibrating";
    case Stage::kAnswering:
      return "answering";
    case Stage::kStopped:
      return "stopped";
    case Stage::kFinished:
      return "finished";
  }
  return "";
}

std::string_view name(Life life) {
  switch (life) {
    case Life::kLives:
      return "lives";
    case Life::kSilent:
      return "silent";
    case Life::kGone:
      return "gone";
  }
  return "";
}

CellStatus sum_of(const std::vector<CellStatus>& cells) {
  CellStatus sum;
  for (const CellStatus& cell : cells) {
    sum.wanted += cell.wanted;
    sum.done += cell.done;
    sum.failed += cell.failed;
    sum.left += cell.left;
    sum.uncalibrated |= cell.uncalibrated;
  }
  return sum;
}

std::vector<RunStatus> runs_of(const std::vector<LockSeen>& locks, const Journals& journals) {
  std::map<std::string, std::string> pairs;  // by their locks' names
  for (const RunJournal& run : journals.runs) {
    for (const CellRecord& cell : run.cells) pairs.emplace(file_name_for(cell.pair), cell.pair);
  }
  std::vector<RunStatus> runs;
  for (const LockSeen& lock : locks) {
    auto run = std::ranges::find(runs, lock.owner, &RunStatus::owner);
    if (run == runs.end()) {
      run = runs.insert(
          runs.end(),
          {.owner = lock.owner, .life = life_of(lock), .untouched_s = lock.untouched_s});
      if (const RunJournal* journal = journal_of(lock.process, journals)) {
        run->run_id = journal->file.stem().string();
        run->rows = journal->samples.size();
      }
    }
    const auto pair = pairs.find(lock.file);
    run->pairs.push_back(pair == pairs.end() ? lock.file : pair->second);
    run->untouched_s = std::min(run->untouched_s, lock.untouched_s);
  }
  return runs;
}

bool is_written(const fs::path& journal, const std::vector<RunStatus>& runs) {
  const auto run = std::ranges::find(runs, journal.stem().string(), &RunStatus::run_id);
  return run != runs.end() && lives(*run);
}

std::optional<Seconds> began_s(std::string_view run_id) {
  std::tm utc{};
  int ms = 0;
  const int fields =
      std::sscanf(std::string(run_id).c_str(), "%4d%2d%2dT%2d%2d%2d.%3dZ-", &utc.tm_year,
                  &utc.tm_mon, &utc.tm_mday, &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &ms);
  if (fields != 7) return std::nullopt;
  utc.tm_year -= 1900;
  utc.tm_mon -= 1;
  return static_cast<double>(::timegm(&utc)) + 1e-3 * ms;
}

Status status_of(const fs::path& output) {
  require_output_folder(output);
  const std::vector<LockSeen> locks = see_locks(output);  // first: what they say only gets older
  const Journals journals = read_journals(output);
  Status status;
  for (const WantedCell& wanted : wanted_cells(journals, CompletedIndex(journals))) {
    const CellRecord& cell = *wanted.cell;
    status.cells.push_back({.pair = cell.pair,
                            .dataset = cell.dataset,
                            .method = cell.method,
                            .wanted = cell.n_planned,
                            .done = wanted.done,
                            .failed = wanted.failed.size(),
                            .left = wanted.left.size(),
                            .uncalibrated = wanted.uncalibrated});
  }
  status.runs = runs_of(locks, journals);
  const auto find_run = [&](const RunJournal& journal) {
    return std::ranges::find(status.runs, journal.file.stem().string(), &RunStatus::run_id);
  };
  for (const RunJournal& journal : journals.runs) {
    status.rows += journal.samples.size();
    if (find_run(journal) == status.runs.end()) ++status.ended;
  }
  for (const JournalFault& fault : journals.faults) {
    const bool being_written = fault.unfinished && is_written(fault.file, status.runs);
    if (!being_written) status.faults.push_back(describe(fault));
  }
  status.stage = stage_of(status);
  status.rate = average_rate(status.runs);
  return status;
}

Status status_over(const fs::path& output, Seconds seconds) {
  const Stopwatch watch;
  const uint64_t before = status_of(output).rows;
  const Seconds read_s = watch.elapsed_s();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  Status status = status_of(output);
  const Seconds over_s = watch.elapsed_s() - read_s;
  status.over_s = over_s;
  status.rate = std::nullopt;
  if (status.rows > before) status.rate = static_cast<double>(status.rows - before) / over_s;
  return status;
}

}  // namespace kvcomm
