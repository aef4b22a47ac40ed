// The journal: <output>/journal/<run id>.jsonl, one JSON object a line, only ever appended to by
// the run that created it. A line is
//   {"t":"sample", <the record's fields> ,"xxh3":"0123456789abcdef"}
// where xxh3 is always the last field and is the hash (hash64_hex) of all that stands before its
// comma, so that a torn, altered or foreign line is told from a good one.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "store/rows.h"

namespace kvcomm {

// "20261123T045549.123Z-<host>-<pid>": sorts by time, and is safe as a file name.
std::string new_run_id();

// Writes one run's journal. Every failure of the disk is an Error (kEnvironment) that says so,
// after the file has been cut back to its last whole line: nothing is lost silently, and nothing is
// torn.
class Journal {
 public:
  // Hands a line to an open file: 0, or the system's reason.
  using Write = std::function<int(int fd, std::string_view line)>;

  // Creates <output>/journal/<run.run_id>.jsonl, which must not exist, and writes run as its first
  // line.
  Journal(const std::filesystem::path& output, const RunRecord& run, Write write = write_fully);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Hands one line to the operating system: it outlives this process, but not a power cut. Record
  // is any of the records in rows.h.
  template <typename Record>
  void append(const Record& record);

  // Puts all that was appended on the disk.
  void sync();

  const std::filesystem::path& path() const { return path_; }
  std::string run_id() const { return path_.stem().string(); }

 private:
  void write_line(std::string_view line);

  std::filesystem::path path_;
  Write write_;
  int fd_ = -1;
  off_t length_ = 0, synced_ = 0;  // up to the end of the last whole line, of those on the disk
};

// All records of one run, in the order in which they were written.
struct RunJournal {
  std::filesystem::path file;
  size_t bytes = 0;  // of it that were read
  RunRecord run;     // only its run_id (from the file's name) is set where the line is missing
  std::vector<CellRecord> cells;
  std::vector<SampleRow> samples;
  std::vector<CalibrationRecord> calibrations;
  std::vector<RecalibrationRecord> recalibrations;
  std::vector<RankRecord> ranks;
  std::vector<FailureRecord> failures;
  std::vector<QuestionRecord> questions;
};

// A line that was skipped, or several of a file for one reason.
struct JournalFault {
  std::filesystem::path file;
  size_t line = 0;  // the first, counted from 1
  std::string why;
  size_t more = 0;          // later lines
  bool unfinished = false;  // the file ends in the middle of it: its run writes it, or was killed
};

struct Journals {
  std::vector<RunJournal> runs;      // oldest first (by run id)
  std::vector<JournalFault> faults;  // the caller logs them
};

// Reads all journals of an output folder; none where there is no such folder. Broken lines are
// skipped and reported, never fatal; a file that cannot be read at all is an Error (kUsage).
Journals read_journals(const std::filesystem::path& output);

// The lines, counted from 1, of a journal's good records of one type, in their order: reading does
// not keep them. Record is any type of a RunJournal's vectors.
template <typename Record>
std::vector<size_t> lines_of(const std::filesystem::path& file,
                             std::vector<Record> RunJournal::*records);

// Where an output folder has them.
std::filesystem::path journal_folder(const std::filesystem::path& output);

// The journals' files, sorted by run.
std::vector<std::filesystem::path> journal_files(const std::filesystem::path& output);

// "results/demo/journal/x.jsonl:17 is skipped: its last part is missing."
// "results/demo/journal/x.jsonl:17 and 2 more of its lines are skipped: ..."
std::string describe(const JournalFault& fault);

}  // namespace kvcomm
