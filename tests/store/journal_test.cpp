// The journal keeps what was written, and says what it could not keep.
#include "store/journal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "store/completed.h"
#include "tests/store/example.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

using namespace kvcomm::testing;
namespace fs = std::filesystem;

template <typename Record>
std::string text_of(const Record& record) {
  return nlohmann::json(record).dump();
}

template <typename Record>
void expect_round_trip(const Record& record) {
  EXPECT_EQ(text_of(nlohmann::json::parse(text_of(record)).template get<Record>()),
            text_of(record));
}

// A journal of the example run with rows 0 .. n-1 of key "k"; returns its path.
fs::path write_journal(const fs::path& output, const std::string& run_id, uint32_t n) {
  Journal journal(output, example_run(run_id));
  for (uint32_t sample = 0; sample < n; ++sample) journal.append(example_row("k", sample, 1));
  journal.sync();
  return journal.path();
}

void overwrite(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

TEST(Rows, EveryRecordReadsBackAsWritten) {
  expect_round_trip(example_run("run"));
  expect_round_trip(example_kv_cell("k", "kvcomm(ratio=0.5)"));
  expect_round_trip(
      CalibrationRecord{.key = "c", .importance = {0.1, 1e-300}, .bytes = 9, .seconds = 0.2});
  expect_round_trip(RankRecord{.run_id = "run", .rank = 3, .pid = 1LL << 40, .idle_s = 0.25});
  expect_round_trip(
      FailureRecord{.key = "k", .sample = 1, .attempt = 2, .step = "wire", .what = "why"});
}

TEST(Rows, NumbersThatDoNotExistStayNaN) {
  CellRecord cell = example_cell("k", "random");
  cell.layers.push_back({.layer = 0, .selected = true});
  const auto back = nlohmann::json::parse(text_of(cell)).get<CellRecord>();
  EXPECT_TRUE(std::isnan(back.layers.at(0).importance));
  EXPECT_EQ(back.layers.at(0).rank, -1);
}

// What a journal with this line, with its checksum, gives.
Journals journals_of(const std::string& fields) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "journal");
  const std::string line = R"({"t":"sample",)" + fields;
  overwrite(folder.path() / "journal/run.jsonl",
            line + R"(,"xxh3":")" + hash64_hex(line) + "\"}\n");
  return read_journals(folder.path());
}

SampleRow row_of(const std::string& fields) {
  const Journals journals = journals_of(fields);
  for (const JournalFault& fault : journals.faults) ADD_FAILURE() << describe(fault);
  return journals.runs.at(0).samples.empty() ? SampleRow{} : journals.runs.at(0).samples.front();
}

TEST(RowReader, ARowReadsBackAsWritten) {
  SampleRow row = retried(failed(example_kv_row("k", 4294967295u, 1.0 / 3)));
  row.kv_bytes = 18446744073709551615u;
  row.sender_prefill_s = 0.1;
  row.decode_s = kNone;
  row.answer = std::string("caf\u00e9 \ufffd\n\t\"\\ \0 end", 19);
  row.further_scores = {{"f1", 0.25}};
  const std::string text = text_of(row);
  EXPECT_EQ(text_of(row_of(text.substr(1, text.size() - 2))), text);
}

TEST(RowReader, AFieldThatAnOlderJournalLacksKeepsItsDefault) {
  const SampleRow row = row_of(R"("key":"k","sample":3)");
  EXPECT_EQ(row.key, "k");
  EXPECT_EQ(row.sample, 3u);
  EXPECT_EQ(row.attempt, 1u);
}

TEST(RowReader, WhatOthersWriteIsTakenAsFarAsItIsUnderstood) {
  const SampleRow row = row_of(
      R"("sample":4,"zz":123456789012345678901234567890,"kv_bytes":46.0,"layer_bytes":[1,2],)"
      R"("a\u006eswer":"x","key":"k")");
  EXPECT_EQ(row.sample, 4u);
  EXPECT_EQ(row.kv_bytes, 46u);
  EXPECT_EQ(row.answer, "x");
  EXPECT_EQ(row_of(R"("layer_bytes":[1,2],"layer_bytes":[3])").layer_bytes,
            std::vector<uint64_t>{3});
}

TEST(RowReader, ALineThatCannotBeIsSkippedWithTheReason) {
  for (const auto& [fields, why] :
       {std::pair{R"("sample":4294967296)", "4294967296 is no number of a sample"},
        {R"("answer":7)", "must be string, but is number"},
        {R"("sample":)", "parse error"}}) {
    const Journals journals = journals_of(fields);
    EXPECT_TRUE(journals.runs.at(0).samples.empty()) << fields;
    ASSERT_EQ(journals.faults.size(), 1u) << fields;
    EXPECT_NE(journals.faults[0].why.find(why), std::string::npos) << journals.faults[0].why;
  }
}

TEST(JournalTest, KeepsAllRecordsInOrder) {
  const TemporaryFolder folder;
  {
    Journal journal(folder.path(), example_run("run"));
    journal.append(example_cell("k", "baseline"));
    journal.append(example_row("k", 1, 0.5));
    journal.append(example_row("k", 0, 0.25));
    journal.append(CalibrationRecord{.key = "c", .importance = {1, 2}});
    journal.append(RankRecord{.run_id = "run"});
    journal.append(FailureRecord{.key = "k"});
    journal.sync();
  }
  const Journals journals = read_journals(folder.path());
  ASSERT_EQ(journals.runs.size(), 1u);
  EXPECT_TRUE(journals.faults.empty());
  const RunJournal& run = journals.runs[0];
  EXPECT_EQ(text_of(run.run), text_of(example_run("run")));
  ASSERT_EQ(run.samples.size(), 2u);
  EXPECT_EQ(text_of(run.samples[0]), text_of(example_row("k", 1, 0.5)));
  EXPECT_EQ(run.samples[1].sample, 0u);
  EXPECT_EQ(run.cells.size(), 1u);
  EXPECT_EQ(run.calibrations.size(), 1u);
  EXPECT_EQ(run.ranks.size(), 1u);
  EXPECT_EQ(run.failures.size(), 1u);
}

TEST(JournalTest, EachLineIsJsonWithTypeKeySampleAttemptAndItsHash) {
  const TemporaryFolder folder;
  std::ifstream in(write_journal(folder.path(), "run", 1));
  std::string line;
  std::getline(in, line);
  std::getline(in, line);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json.at("t"), "sample");
  EXPECT_EQ(json.at("key"), "k");
  EXPECT_EQ(json.at("sample"), 0);
  EXPECT_EQ(json.at("attempt"), 1);
  EXPECT_EQ(json.at("xxh3"), hash64_hex(line.substr(0, line.rfind(",\"xxh3\""))));
}

TEST(JournalTest, InvalidTextIsReplacedNotLost) {
  const TemporaryFolder folder;
  {
    Journal journal(folder.path(), example_run("run"));
    SampleRow row = example_row("k", 0, 1);
    row.answer =
        "a\xff"
        "b\"\n\\";
    journal.append(row);
  }
  const Journals journals = read_journals(folder.path());
  EXPECT_EQ(journals.runs.at(0).samples.at(0).answer,
            "a\uFFFD"
            "b\"\n\\");
}

TEST(JournalTest, NeverAppendsToAnothersJournal) {
  const TemporaryFolder folder;
  const fs::path path = write_journal(folder.path(), "run", 2);
  const std::string before = read_file(path);
  EXPECT_THROW(Journal(folder.path(), example_run("run")), Error);
  EXPECT_EQ(read_file(path), before);
}

TEST(JournalTest, RunIdsSortByTimeAndNameTheProcess) {
  const std::string first = new_run_id();
  ::usleep(2000);
  EXPECT_LT(first, new_run_id());
  EXPECT_TRUE(first.ends_with("-" + std::to_string(::getpid()))) << first;
  EXPECT_EQ(first.find('/'), std::string::npos);
}

TEST(BrokenLines, WhereverALastLineIsTornTheOthersStay) {
  const TemporaryFolder folder;
  const fs::path path = write_journal(folder.path(), "run", 3);
  const std::string whole = read_file(path);
  const size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  for (size_t cut = last + 1; cut < whole.size() - 1; ++cut) {
    overwrite(path, whole.substr(0, cut));
    const Journals journals = read_journals(folder.path());
    ASSERT_EQ(journals.runs.at(0).samples.size(), 2u) << "cut at " << cut;
    ASSERT_EQ(journals.faults.size(), 1u) << "cut at " << cut;
    ASSERT_EQ(journals.faults[0].line, 4u);
    ASSERT_EQ(journals.faults[0].file, path);
  }
  overwrite(path,
            whole.substr(0, whole.size() - 1));  // only the line's end is missing: it is whole
  EXPECT_EQ(read_journals(folder.path()).runs.at(0).samples.size(), 3u);
}

TEST(BrokenLines, AFlippedBitAnywhereIsSeen) {
  const TemporaryFolder folder;
  const fs::path path = write_journal(folder.path(), "run", 1);
  const std::string whole = read_file(path);
  const size_t line = whole.find('\n') + 1;
  for (size_t at = line; at < whole.size() - 1; ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    overwrite(path, flipped);
    const Journals journals = read_journals(folder.path());
    ASSERT_TRUE(journals.runs.at(0).samples.empty()) << "bit of byte " << at;
    ASSERT_FALSE(journals.faults.empty()) << "bit of byte " << at;
    ASSERT_EQ(journals.faults[0].line, 2u);
  }
}

TEST(BrokenLines, ForeignLinesAndEmptyFilesAreSkippedAndReported) {
  const TemporaryFolder folder;
  const fs::path path = write_journal(folder.path(), "run", 2);
  const std::string unknown = R"({"t":"later","key":"k")";
  std::ofstream(path, std::ios::app) << "{\"t\":\"sample\",\"key\":\"k\",\"sample\":9}\n\n"
                                     << unknown << ",\"xxh3\":\"" << hash64_hex(unknown) << "\"}\n";
  overwrite(path.parent_path() / "empty.jsonl", "");
  overwrite(path.parent_path() / "notes.txt", "not a journal");
  const Journals journals = read_journals(folder.path());
  ASSERT_EQ(journals.runs.size(), 2u);
  EXPECT_EQ(journals.runs[1].samples.size(), 2u);
  ASSERT_EQ(journals.faults.size(), 2u);
  EXPECT_NE(describe(journals.faults[0]).find("run.jsonl:4 and 1 more of its lines are skipped"),
            std::string::npos)
      << describe(journals.faults[0]);
  EXPECT_NE(describe(journals.faults[1]).find("run.jsonl:6 is skipped: its type 'later'"),
            std::string::npos)
      << describe(journals.faults[1]);
}

TEST(BrokenLines, ManyLinesOfALaterVersionAreOneFault) {
  const TemporaryFolder folder;
  const fs::path path = write_journal(folder.path(), "run", 2);
  std::ofstream out(path, std::ios::app);
  for (int i = 0; i < 300; ++i) {
    const std::string line = fmt::format(R"({{"t":"later","place":{})", i);
    out << line << ",\"xxh3\":\"" << hash64_hex(line) << "\"}\n";
  }
  out.close();
  const Journals journals = read_journals(folder.path());
  EXPECT_EQ(journals.runs.at(0).samples.size(), 2u);
  ASSERT_EQ(journals.faults.size(), 1u);
  EXPECT_NE(describe(journals.faults[0]).find("run.jsonl:4 and 299 more of its lines are skipped"),
            std::string::npos)
      << describe(journals.faults[0]);
}

TEST(BrokenLines, NoFolderMeansNoJournals) {
  const TemporaryFolder folder;
  EXPECT_TRUE(read_journals(folder.path() / "nowhere").runs.empty());
}

TEST(Faults, AFullDiskIsASentenceAndLeavesNoTornLine) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {  // the limit holds for this process alone
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      Journal journal(folder.path(), example_run("run"));
      for (uint32_t sample = 0; sample < 1000; ++sample) {
        journal.append(example_row("k", sample, 1));
      }
    } catch (const Error& error) {
      const bool good = error.exit() == Exit::kEnvironment &&
                        std::string(error.what()).find("journal '") != std::string::npos;
      ::_exit(good ? 42 : 1);
    }
    ::_exit(2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 42);
  const Journals journals = read_journals(folder.path());
  EXPECT_TRUE(journals.faults.empty());
  EXPECT_GT(journals.runs.at(0).samples.size(), 2u);
  EXPECT_LT(journals.runs.at(0).samples.size(), 1000u);
}

TEST(Faults, AJournalThatCannotBeMadeIsASentence) {
  const TemporaryFolder folder;
  overwrite(folder.path() / "journal", "a file is in the way");
  EXPECT_THROW(Journal(folder.path(), example_run("run")), Error);
}

TEST(Faults, AKilledWriterLosesNoLineItFinished) {
  const TemporaryFolder folder;
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Journal journal(folder.path(), example_run("run"));
    for (uint32_t sample = 0;; ++sample) {
      journal.append(example_row("k", sample, 1));
      if (::write(pipe_ends[1], &sample, sizeof sample) < 0) ::_exit(1);
    }
  }
  uint32_t last = 0;
  while (last < 200) ASSERT_EQ(::read(pipe_ends[0], &last, sizeof last), 4);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  const Journals journals = read_journals(folder.path());
  EXPECT_LE(journals.faults.size(), 1u);
  EXPECT_GE(journals.runs.at(0).samples.size(), 201u);
}

TEST(JournalReading, FindsTheLinesOfGoodRecordsAgain) {
  const TemporaryFolder folder;
  const fs::path path = write_journal(folder.path(), "run1", 3);
  std::string content = read_file(path);
  const size_t second = content.find("\"sample\":1");
  content[second + 9] = '7';  // a row that is altered
  overwrite(path, content + "foreign\n" + content.substr(content.rfind('{')));
  const Journals journals = read_journals(folder.path());
  ASSERT_EQ(journals.runs.size(), 1u);
  EXPECT_EQ(journals.runs[0].file, path);
  EXPECT_EQ(journals.runs[0].samples.size(), 3u);
  EXPECT_EQ(lines_of(path, &RunJournal::samples), (std::vector<size_t>{2, 4, 6}));
  EXPECT_EQ(lines_of(path, &RunJournal::cells), std::vector<size_t>{});
}

TEST(JournalReading, TellsHalfALineAtTheEndFromAnyOther) {
  const TemporaryFolder folder;
  const fs::path path = write_journal(folder.path(), "run1", 2);
  const std::string content = read_file(path);
  overwrite(path, content + "{\"half\n" + content.substr(0, 30));
  const std::vector<JournalFault> faults = read_journals(folder.path()).faults;
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_FALSE(faults[0].unfinished);
  EXPECT_EQ(faults[0].line, 4u);
  EXPECT_TRUE(faults[1].unfinished);
  EXPECT_EQ(faults[1].line, 5u);
  overwrite(path, content + content.substr(0, 30) + "\n");
  EXPECT_FALSE(read_journals(folder.path()).faults.at(0).unfinished);
}

TEST(CompletedIndexTest, KnowsWhatIsDoneOverAllRuns) {
  const TemporaryFolder folder;
  {
    Journal journal(folder.path(), example_run("run1"));
    journal.append(example_row("k", 0, 1));
    journal.append(failed(example_row("k", 1, 0)));
    journal.append(failed(example_row("k", 2, 0)));
    journal.append(CalibrationRecord{.key = "c", .importance = {1, 2}});
  }
  {
    Journal journal(folder.path(), example_run("run2"));
    journal.append(retried(example_row("k", 1, 1)));
    journal.append(retried(failed(example_row("k", 2, 0))));
    journal.append(CalibrationRecord{.key = "c", .importance = {3, 4}});
  }
  const CompletedIndex stored(read_journals(folder.path()));
  EXPECT_TRUE(stored.is_done("k", 0));
  EXPECT_TRUE(stored.is_done("k", 1));
  EXPECT_FALSE(stored.is_done("k", 2));
  EXPECT_FALSE(stored.is_done("k", 3));
  EXPECT_FALSE(stored.is_done("other", 0));
  EXPECT_EQ(stored.attempts("k", 0), 1u);
  EXPECT_EQ(stored.attempts("k", 2), 2u);
  EXPECT_EQ(stored.attempts("k", 3), 0u);
  ASSERT_NE(stored.importance("c"), nullptr);
  EXPECT_EQ(*stored.importance("c"),
            (std::vector<double>{1, 2}));  // computed once, kept ever after
  EXPECT_EQ(stored.importance("other"), nullptr);
}

TEST(CompletedIndexTest, KnowsWhichQuestionsAreWritten) {
  const TemporaryFolder folder;
  {
    Journal journal(folder.path(), example_run("run1"));
    journal.append(example_question(0));
    QuestionRecord with_context = example_question(1);
    with_context.contexts = {"Zürich liegt am See."};
    journal.append(with_context);
    journal.append(example_question(1));
  }
  const CompletedIndex stored(read_journals(folder.path()));
  EXPECT_TRUE(stored.has_question("Länder", "f00d", 0, false));
  EXPECT_FALSE(stored.has_question("Länder", "f00d", 0, true));
  EXPECT_TRUE(stored.has_question("Länder", "f00d", 1, true));
  EXPECT_FALSE(stored.has_question("Länder", "f00d", 2, false));
  EXPECT_FALSE(stored.has_question("Länder", "beef", 0, false));
}

}  // namespace
}  // namespace kvcomm
