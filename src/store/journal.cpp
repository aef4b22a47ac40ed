#include "store/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "store/process.h"
#include "store/row_reader.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kHashField = ",\"xxh3\":\"";
constexpr size_t kHashDigits = 16;
constexpr size_t kTailSize = kHashField.size() + kHashDigits + 2;  // with the closing "}

[[noreturn]] void fail_to_write(const fs::path& path, std::string_view verb, int reason) {
  fail(Exit::kEnvironment,
       "Cannot {} the journal '{}': {}. The rows before this one are safe; make room or mend the "
       "disk, then start the same command again: it goes on from there.",
       verb, path.string(), std::strerror(reason));
}

}  // namespace

std::string new_run_id() {
  using std::chrono::milliseconds;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<milliseconds>(now).count();
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", &utc);
  return fmt::format("{}.{:03d}Z-{}-{}", stamp, ms % 1000, file_name_for(host_name()), ::getpid());
}

// ---- writing
Journal::Journal(const fs::path& output, const RunRecord& run, Write write)
    : path_(journal_folder(output) / (file_name_for(run.run_id) + ".jsonl")),
      write_(std::move(write)) {
  std::error_code error;
  fs::create_directories(path_.parent_path(), error);
  if (error) {
    fail(Exit::kUsage, "Cannot create the folder '{}': {}. Choose another with --output.",
         path_.parent_path().string(), error.message());
  }
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0 && errno == EEXIST) {
    fail(Exit::kInternal, "The journal '{}' exists already; a run never appends to another's.",
         path_.string());
  }
  if (fd_ < 0) fail_to_write(path_, "create", errno);
  try {
    append(run);
    sync();
    sync_folder(path_.parent_path());
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

Journal::~Journal() { ::close(fd_); }

template <typename Record>
void Journal::append(const Record& record) {
  const nlohmann::json json = record;
  const std::string fields = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string line = fmt::format("{{\"t\":\"{}\",{}", Record::kType,
                                 std::string_view(fields).substr(1, fields.size() - 2));
  line += fmt::format("{}{}\"}}\n", kHashField, hash64_hex(line));
  write_line(line);
}

template void Journal::append(const RunRecord&);
template void Journal::append(const CellRecord&);
template void Journal::append(const SampleRow&);
template void Journal::append(const CalibrationRecord&);
template void Journal::append(const RecalibrationRecord&);
template void Journal::append(const RankRecord&);
template void Journal::append(const FailureRecord&);
template void Journal::append(const QuestionRecord&);

void Journal::write_line(std::string_view line) {
  if (const int reason = write_(fd_, line); reason != 0) {
    if (::ftruncate(fd_, length_) != 0) fail_to_write(path_, "cut a half-written line off", errno);
    fail_to_write(path_, "write to", reason);
  }
  length_ += static_cast<off_t>(line.size());
}

void Journal::sync() {
  if (length_ == synced_) return;
  if (::fdatasync(fd_) != 0 && errno != EINVAL) {  // EINVAL: a device, not a file
    fail_to_write(path_, "sync", errno);
  }
  struct stat now {};
  if (::fstat(fd_, &now) == 0 && now.st_nlink == 0) {
    fail(
        Exit::kEnvironment,
        "The journal '{}' was removed while this run wrote to it, so that its rows are lost. Start "
        "the same command again, with a folder that stays.",
        path_.string());
  }
  synced_ = length_;
}

// ---- reading
namespace {

// What is wrong with a line's last part, "" for nothing.
std::string checksum_fault(std::string_view line) {
  if (line.size() < kTailSize || !line.ends_with("\"}")) return "its last part is missing";
  const std::string_view text = line.substr(0, line.size() - kTailSize);
  const std::string_view tail = line.substr(text.size());
  if (!tail.starts_with(kHashField)) return "it has no checksum, so no run wrote it";
  if (tail.substr(kHashField.size(), kHashDigits) == hash64_hex(text)) return "";
  return "its checksum does not fit its text, so it has been altered or damaged";
}

// A stretch of whole lines of a journal, and what they say.
struct Stretch {
  std::string_view text;
  size_t behind;  // bytes of the journal that follow
  size_t lines = 0;
  RunJournal run;
  bool has_run = false;
  std::vector<JournalFault> faults;  // their lines counted from the stretch's first
};

// Puts one line's record where it belongs; returns what is wrong with the line, "" for nothing.
// behind: bytes that follow it.
std::string take_line(std::string_view line, size_t behind, RowReader& rows, Stretch& stretch) {
  RunJournal& run = stretch.run;
  constexpr std::string_view kSample = R"({"t":"sample",)";
  if (std::string fault = checksum_fault(line); !fault.empty()) return fault;
  const auto not_understood = [](std::string_view why) {
    return fmt::format("it cannot be understood ({})", why);
  };
  if (line.starts_with(kSample)) {
    std::string padded;
    if (behind < RowReader::kPadding) {
      padded.reserve(line.size() + RowReader::kPadding);
      padded = line;
    }
    const auto fault = rows.read(padded.empty() ? line : padded, run.samples.emplace_back());
    if (fault == "") return "";
    run.samples.pop_back();
    if (fault) return not_understood(*fault);
  }
  try {
    const nlohmann::json json = nlohmann::json::parse(line);
    const std::string type = json.at("t").get<std::string>();
    if (type == RunRecord::kType) {
      json.get_to(run.run);
      stretch.has_run = true;
    } else if (type == CellRecord::kType) {
      run.cells.push_back(json.get<CellRecord>());
    } else if (type == SampleRow::kType) {
      run.samples.push_back(json.get<SampleRow>());
    } else if (type == CalibrationRecord::kType) {
      run.calibrations.push_back(json.get<CalibrationRecord>());
    } else if (type == RecalibrationRecord::kType) {
      run.recalibrations.push_back(json.get<RecalibrationRecord>());
    } else if (type == RankRecord::kType) {
      run.ranks.push_back(json.get<RankRecord>());
    } else if (type == FailureRecord::kType) {
      run.failures.push_back(json.get<FailureRecord>());
    } else if (type == QuestionRecord::kType) {
      run.questions.push_back(json.get<QuestionRecord>());
    } else {
      return fmt::format("its type '{}' is not known to this version", type);
    }
  } catch (const nlohmann::json::exception& error) {
    return not_understood(error.what());
  }
  return "";
}

std::vector<Stretch> stretches_of(std::string_view content) {
  constexpr size_t kBytes = 8 << 20;
  std::vector<Stretch> stretches;
  while (!content.empty()) {
    const size_t end = content.find('\n', std::min(content.size() - 1, kBytes));
    const std::string_view text = content.substr(0, end == content.npos ? end : end + 1);
    content.remove_prefix(text.size());
    stretches.push_back({.text = text, .behind = content.size()});
  }
  return stretches;
}

void read_lines(Stretch& stretch) {
  RowReader rows;
  std::string_view rest = stretch.text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    ++stretch.lines;
    const std::string why = take_line(line, rest.size() + stretch.behind, rows, stretch);
    if (why.empty()) continue;
    const bool unfinished = rest.empty() && stretch.behind == 0 && !stretch.text.ends_with('\n');
    stretch.faults.push_back(
        {.file = {}, .line = stretch.lines, .why = why, .unfinished = unfinished});
  }
}

template <typename Record>
void append(std::vector<Record>& all, std::vector<Record>& more) {
  std::ranges::move(more, std::back_inserter(all));
  more = {};
}

void append(RunJournal& all, Stretch& stretch) {
  RunJournal& more = stretch.run;
  if (stretch.has_run) all.run = std::move(more.run);
  append(all.cells, more.cells);
  append(all.samples, more.samples);
  append(all.calibrations, more.calibrations);
  append(all.recalibrations, more.recalibrations);
  append(all.ranks, more.ranks);
  append(all.failures, more.failures);
  append(all.questions, more.questions);
}

// One fault for all lines of a file that are skipped for one reason: a later version of the program
// may have written thousands of a type.
void add_fault(std::vector<JournalFault>& faults, const JournalFault& fault) {
  for (auto known = faults.rbegin(); known != faults.rend() && known->file == fault.file; ++known) {
    if (known->why == fault.why && !fault.unfinished) {
      ++known->more;
      return;
    }
  }
  faults.push_back(fault);
}

}  // namespace

fs::path journal_folder(const fs::path& output) { return output / "journal"; }

std::vector<fs::path> journal_files(const fs::path& output) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entry(journal_folder(output), error);
  if (error == std::errc::no_such_file_or_directory) return files;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() == ".jsonl") files.push_back(entry->path());
  }
  if (error) {
    fail(Exit::kUsage, "Cannot list the folder '{}': {}.", journal_folder(output).string(),
         error.message());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Journals read_journals(const fs::path& output) {
  Journals journals;
  for (const fs::path& file : journal_files(output)) {
    const std::string content = read_file(file);
    std::vector<Stretch> stretches = stretches_of(content);
    in_parallel(0, stretches.size(), std::thread::hardware_concurrency(),
                [&](size_t i) { read_lines(stretches[i]); });
    RunJournal run{.file = file, .bytes = content.size()};
    size_t rows = 0, lines = 0;
    for (const Stretch& stretch : stretches) rows += stretch.run.samples.size();
    run.samples.reserve(rows);
    for (Stretch& stretch : stretches) {
      append(run, stretch);
      for (const JournalFault& fault : stretch.faults) {
        add_fault(journals.faults, {.file = file,
                                    .line = lines + fault.line,
                                    .why = fault.why,
                                    .unfinished = fault.unfinished});
      }
      lines += stretch.lines;
    }
    if (run.run.run_id.empty()) run.run.run_id = file.stem().string();
    journals.runs.push_back(std::move(run));
  }
  return journals;
}

template <typename Record>
std::vector<size_t> lines_of(const fs::path& file, std::vector<Record> RunJournal::*records) {
  const std::string content = read_file(file);
  std::vector<size_t> lines;
  size_t line = 0;
  for (Stretch& stretch : stretches_of(content)) {
    RowReader rows;
    std::string_view rest = stretch.text;
    while (!rest.empty()) {
      const std::string_view text = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), text.size() + 1));
      ++line;
      take_line(text, rest.size() + stretch.behind, rows, stretch);
      if (!(stretch.run.*records).empty()) lines.push_back(line);
      stretch.run = {};
    }
  }
  return lines;
}

template std::vector<size_t> lines_of(const fs::path&, std::vector<CellRecord> RunJournal::*);
template std::vector<size_t> lines_of(const fs::path&, std::vector<SampleRow> RunJournal::*);
template std::vector<size_t> lines_of(const fs::path&,
                                      std::vector<CalibrationRecord> RunJournal::*);
template std::vector<size_t> lines_of(const fs::path&,
                                      std::vector<RecalibrationRecord> RunJournal::*);
template std::vector<size_t> lines_of(const fs::path&, std::vector<QuestionRecord> RunJournal::*);

std::string describe(const JournalFault& fault) {
  const std::string lines =
      fault.more == 0 ? "is" : fmt::format("and {} more of its lines are", fault.more);
  return fmt::format("{}:{} {} skipped: {}.", fault.file.string(), fault.line, lines, fault.why);
}

}  // namespace kvcomm
