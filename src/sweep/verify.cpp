#include "sweep/verify.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "store/completed.h"
#include "store/variants.h"
#include "sweep/status.h"
#include "sweep/verify_parts.h"
#include "sweep/wanted.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

uint64_t records_of(const RunJournal& run) {
  const uint64_t first = run.run.date.empty() ? 0 : 1;
  return first + run.cells.size() + run.samples.size() + run.calibrations.size() +
         run.recalibrations.size() + run.ranks.size() + run.failures.size() + run.questions.size();
}

// Lines by their hashes, and that nothing else lies in their folder.
Check check_lines(const fs::path& output, const Journals& journals,
                  const std::vector<RunStatus>& runs, std::vector<std::string>& notes) {
  Check check{.what = "lines of journals by their hashes"};
  for (const RunJournal& run : journals.runs) check.checked += records_of(run);
  for (const JournalFault& fault : journals.faults) {
    if (fault.unfinished) {
      notes.push_back(fmt::format(
          "{}:{} is half a line: {}.", fault.file.string(), fault.line,
          is_written(fault.file, runs) ? "its run writes it" : "its run was killed in it"));
      continue;
    }
    check.checked += 1 + fault.more;
    check.blame([&] {
      const std::string more =
          fault.more == 0 ? "" : fmt::format(" (and {} more of its lines)", fault.more);
      return fmt::format("{}:{}{}: {}.", fault.file.string(), fault.line, more, fault.why);
    });
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(journal_folder(output))) {
    if (entry.path().extension() == ".jsonl") continue;
    notes.push_back(
        fmt::format("'{}' is no journal, and nothing reads it.", entry.path().string()));
  }
  return check;
}

// "3 (0, 1, 2)", "20 (0, 1, 2, 3, 4, ...)"
std::string some(const std::vector<uint32_t>& samples) {
  constexpr size_t kMost = 5;
  const std::vector<uint32_t> first(samples.begin(),
                                    samples.begin() + std::min(kMost, samples.size()));
  return fmt::format("{} ({}{})", samples.size(), fmt::join(first, ", "),
                     samples.size() > kMost ? ", ..." : "");
}

std::vector<uint32_t> unasked_of(const CellRecord& cell, const CompletedIndex& stored) {
  const nlohmann::json fingerprint = key_part(cell.key_json, "/dataset/fingerprint");
  std::vector<uint32_t> unasked;
  for (uint32_t sample = 0; fingerprint.is_string() && sample < cell.n_planned; ++sample) {
    if (stored.has_question(cell.dataset, fingerprint, sample, /*with_contexts=*/false)) continue;
    unasked.push_back(sample);
  }
  return unasked;
}

void find_missing(const Journals& journals, std::vector<std::string>& missing) {
  const CompletedIndex stored(journals);
  for (const auto& [cell, done, failed, left, uncalibrated] : wanted_cells(journals, stored)) {
    const std::string name = fmt::format("{} on {} of {}", cell->method, cell->dataset, cell->pair);
    if (!left.empty()) {
      missing.push_back(fmt::format("{}: of {} samples {} have no answer yet{}.", name,
                                    cell->n_planned, some(left),
                                    uncalibrated ? ", nor has its calibration run" : ""));
    }
    if (const auto unasked = unasked_of(*cell, stored); !unasked.empty()) {
      missing.push_back(fmt::format(
          "{}: of {} samples {} have no question with its accepted answers; a run writes it.", name,
          cell->n_planned, some(unasked)));
    }
    if (!failed.empty()) {
      missing.push_back(fmt::format("{}: of {} samples {} failed whenever they were tried.", name,
                                    cell->n_planned, some(failed)));
    }
  }
}

}  // namespace

Exit Verified::exit() const {
  const auto is_wrong = [](const Check& check) { return !check.wrong.empty(); };
  if (std::ranges::any_of(checks, is_wrong)) return Exit::kIntegrity;
  return missing.empty() ? Exit::kOk : Exit::kSomeFailed;
}

Verified verify(const fs::path& output) {
  const std::vector<LockSeen> locks = see_locks(output);
  const Results results(read_journals(output));
  const Journals& journals = results.journals;
  if (journals.runs.empty()) {
    fail(Exit::kUsage, "There are no journals in '{}': give the folder that a sweep wrote to.",
         journal_folder(output).string());
  }
  const std::vector<RunStatus> runs = runs_of(locks, journals);
  const std::map<std::string, KnownCell> cells = known_cells(journals);
  Verifying folder{.journals = journals, .cells = cells};
  Verified verified;
  verified.checks.push_back(check_lines(output, journals, runs, verified.notes));
  for (const auto check : {check_keys, check_layers, check_bytes, check_repeats, check_scores}) {
    verified.checks.push_back(check(folder));
  }
  find_missing(journals, verified.missing);
  verified.checks.push_back(check_results(output, results, verified.missing));
  for (const RunStatus& run : runs) {
    if (run.life != Life::kLives) continue;
    verified.notes.push_back(
        fmt::format("A run lives ({}) and goes on writing to '{}'.", run.owner, output.string()));
  }
  return verified;
}

}  // namespace kvcomm
