// results.h5 is what the journals say, always the same. How it reads in Python: tests/python.
#include "store/results.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "store/results_file.h"
#include "store/schema.h"
#include "tests/store/example.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

using namespace kvcomm::testing;
namespace fs = std::filesystem;

// A journal with the given records of any type.
template <typename... Records>
void write_run(const fs::path& output, const std::string& run_id, const Records&... records) {
  Journal journal(output, example_run(run_id));
  (journal.append(records), ...);
  journal.sync();
}

Results read(const fs::path& output) { return Results(read_journals(output)); }

const Table& table(const std::vector<Table>& tables, const std::string& name) {
  for (const Table& t : tables) {
    if (t.name == name) return t;
  }
  throw std::runtime_error("no table " + name);
}

template <typename Value>
std::vector<Value> column(const Table& table, const std::string& name) {
  for (const Column& c : table.columns) {
    if (c.name == name) return std::get<std::vector<Value>>(c.values);
  }
  throw std::runtime_error("no column " + name);
}

TEST(ResultsTest, ACellsNumbersAreThoseOfItsRows) {
  const TemporaryFolder folder;
  write_run(folder.path(), "run", example_kv_cell("k", "kvcomm"), example_kv_row("k", 1, 1),
            example_kv_row("k", 0, 0.5), failed(example_kv_row("k", 2, 1)),
            CalibrationRecord{.key = "cal", .bytes = 77, .seconds = 2});
  const Results results = read(folder.path());
  const CellResult& cell = results.cells.at(0);
  EXPECT_EQ(cell.n(), 3u);
  EXPECT_EQ(cell.n_failed, 1u);
  EXPECT_DOUBLE_EQ(cell.mean.score, 0.5);  // the failed one counts 0, whatever its row says
  EXPECT_DOUBLE_EQ(cell.mean.standard_error, 0.5 / std::sqrt(3));
  EXPECT_EQ(cell.layer_bytes, (std::vector<uint64_t>{0, 300, 600, 0}));
  const std::vector<Table> tables = tables_of(results);
  const Table& cells = table(tables, "cells");
  EXPECT_EQ(column<uint64_t>(cells, "kv_bytes"), std::vector<uint64_t>{900});
  EXPECT_EQ(column<uint64_t>(cells, "context_tokens"), std::vector<uint64_t>{30});
  EXPECT_EQ(column<double>(cells, "decode_s"), std::vector<double>{1.5});
  EXPECT_EQ(column<uint64_t>(cells, "calibration_bytes"), std::vector<uint64_t>{77});
  EXPECT_EQ(column<uint32_t>(table(tables, "samples"), "sample"), (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(column<double>(table(tables, "samples"), "score"), (std::vector<double>{0.5, 1, 0}));
}

// Of samples 0 to 4 every second chooses anew: the choice by 2 failed, and with it 2 and 3.
TEST(ResultsTest, RecalibrationsAreScoredWhereTheCellSaysSoAndLostOnesCountAsZero) {
  const auto mean_of = [](bool scored) {
    const TemporaryFolder folder;
    CellRecord cell =
        example_cell("k", "kvcomm(recalibrate_every=2)", R"({"recalibrate_every":2})");
    cell.recalibration_scored = scored;
    const RecalibrationRecord first{.key = "k",
                                    .sample = 0,
                                    .layers = {1, 2},
                                    .bytes = 70,
                                    .return_bytes = 8,
                                    .seconds = 2,
                                    .score = 1};
    RecalibrationRecord again = first;  // of a resume that crossed it: the first is kept
    again.score = 0;
    const RecalibrationRecord last{.key = "k", .sample = 4, .layers = {1}, .bytes = 30, .score = 1};
    write_run(folder.path(), "run", cell, first, again, last, example_row("k", 0, 1),
              failed(example_row("k", 1, 1)), failed(example_row("k", 2, 1)),
              failed(example_row("k", 3, 1)), example_row("k", 4, 0));
    const Results results = read(folder.path());
    const std::vector<Table> tables = tables_of(results);
    const Table& online = table(tables, "recalibrations");
    EXPECT_EQ(column<uint32_t>(online, "sample"), (std::vector<uint32_t>{0, 2, 4}));
    EXPECT_EQ(column<std::string>(online, "layers"),
              (std::vector<std::string>{"[1,2]", "[]", "[1]"}));
    EXPECT_EQ(column<double>(online, "score"), (std::vector<double>{1, 0, 1}));
    EXPECT_EQ(column<uint8_t>(online, "scored"), std::vector<uint8_t>(3, scored));
    EXPECT_EQ(column<uint64_t>(table(tables, "cells"), "calibration_bytes"),
              std::vector<uint64_t>{108});
    EXPECT_EQ(results.cells.at(0).n(), 5u);
    return results.cells.at(0).mean.score;
  };
  EXPECT_DOUBLE_EQ(mean_of(false), 1.0 / 5);
  EXPECT_DOUBLE_EQ(mean_of(true), 3.0 / 8);
}

TEST(ResultsTest, SendersHaveATableWhereThereAreSeveral) {
  const TemporaryFolder folder;
  SampleRow row = example_row("k", 1, 1);
  row.senders = {{.context_tokens = 4, .payload_bytes = 40, .header_bytes = 3, .prefill_s = 0.5},
                 {.context_tokens = 6, .payload_bytes = 60, .header_bytes = 4, .prefill_s = 1}};
  write_run(folder.path(), "run", example_cell("k", "kvcomm"), example_row("k", 0, 1), row);
  const std::vector<Table> tables = tables_of(read(folder.path()));
  const Table& senders = table(tables, "senders");
  EXPECT_EQ(column<uint32_t>(senders, "sample"), (std::vector<uint32_t>{1, 1}));
  EXPECT_EQ(column<uint32_t>(senders, "sender"), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(column<uint64_t>(senders, "payload_bytes"), (std::vector<uint64_t>{40, 60}));
  EXPECT_EQ(column<double>(senders, "prefill_s"), (std::vector<double>{0.5, 1}));
}

TEST(ResultsTest, FurtherScoresHaveATableOfTheirOwn) {
  const TemporaryFolder folder;
  SampleRow row = example_row("a", 1, 1);
  row.further_scores = {{"f1", 0.25}, {"exact_match", 1}};
  SampleRow lost = failed(example_row("a", 0, 1));
  lost.further_scores = {{"f1", 0.5}};
  write_run(folder.path(), "run", example_cell("a", "x"), row, lost, example_row("a", 2, 1));
  const std::vector<Table> tables = tables_of(read(folder.path()));
  const Table& scores = table(tables, "scores");
  using Texts = std::vector<std::string>;
  EXPECT_EQ(scores.rows, 3u);  // none of sample 2, which no run scored by them
  EXPECT_EQ(column<int32_t>(scores, "cell"), (std::vector<int32_t>{0, 0, 0}));
  EXPECT_EQ(column<std::string>(scores, "method"), (Texts{"x", "x", "x"}));
  EXPECT_EQ(column<uint32_t>(scores, "sample"), (std::vector<uint32_t>{0, 1, 1}));
  EXPECT_EQ(column<std::string>(scores, "metric"), (Texts{"f1", "exact_match", "f1"}));
  EXPECT_EQ(column<double>(scores, "score"), (std::vector<double>{0, 1, 0.25}));
}

TEST(ResultsTest, ARowWithoutFurtherScoresIsWrittenAsEver) {
  EXPECT_FALSE(nlohmann::json(example_row("a", 0, 1)).contains("further_scores"));
}

TEST(ResultsTest, FewSamplesHaveNoStandardError) {
  const TemporaryFolder folder;
  write_run(folder.path(), "run", example_cell("a", "a"), example_cell("b", "b"),
            example_row("a", 0, 1));
  const Results results = read(folder.path());
  EXPECT_EQ(results.cells.at(0).mean.score, 1);
  EXPECT_TRUE(std::isnan(results.cells.at(0).mean.standard_error));
  EXPECT_TRUE(std::isnan(results.cells.at(1).mean.score));
  EXPECT_TRUE(std::isnan(results.cells.at(1).mean.standard_error));
}

TEST(ResultsTest, ASuccessOutdoesAFailureAndIsNeverUndone) {
  const TemporaryFolder folder;
  SampleRow first_failure = failed(example_row("k", 2, 0));
  first_failure.sample_id = "first";
  write_run(folder.path(), "run1", example_cell("k", "m"), failed(example_row("k", 0, 0)),
            example_row("k", 1, 1), first_failure);
  write_run(folder.path(), "run2", example_cell("k", "m"), retried(example_row("k", 0, 0.75)),
            failed(example_row("k", 1, 0)), example_row("k", 1, 0.25),
            retried(failed(example_row("k", 2, 0))));
  const Results results = read(folder.path());
  const CellResult& cell = results.cells.at(0);
  ASSERT_EQ(cell.n(), 3u);
  EXPECT_EQ(cell.rows[0]->score, 0.75);
  EXPECT_EQ(cell.rows[0]->attempt, 2u);
  EXPECT_EQ(cell.rows[1]->score, 1);
  EXPECT_EQ(cell.rows[2]->sample_id, "first");
  EXPECT_EQ(cell.n_failed, 1u);
}

TEST(ResultsTest, TheKeyThatRanLastIsShownAndOthersAreLeftOut) {
  const TemporaryFolder folder;
  write_run(folder.path(), "run1", example_cell("old", "m"), example_row("old", 0, 1),
            example_row("old", 1, 1), FailureRecord{.key = "old", .what = "gone"});
  write_run(folder.path(), "run2", example_cell("new", "m"), example_row("new", 0, 0.5),
            FailureRecord{.key = "new", .what = "shown"},
            FailureRecord{.key = "cal", .what = "of a calibration"});
  write_run(folder.path(), "run3", example_cell("planned", "m"));  // killed before its first row
  const Results results = read(folder.path());
  ASSERT_EQ(results.cells.size(), 1u);
  EXPECT_EQ(results.cells[0].cell.key, "new");
  ASSERT_EQ(results.left_out.size(), 1u);
  EXPECT_EQ(results.left_out[0].cell->key, "old");
  EXPECT_EQ(results.left_out[0].rows, 2u);
  const std::vector<Table> tables = tables_of(results);
  EXPECT_EQ(column<std::string>(table(tables, "failures"), "what"),
            (std::vector<std::string>{"shown", "of a calibration"}));
  EXPECT_EQ(column<int32_t>(table(tables, "failures"), "cell"), (std::vector<int32_t>{0, -1}));
}

// A cell under a key of its own, whose key_json has that dtype and those parameters.
CellRecord with_key(const std::string& key, const std::string& dtype,
                    const std::string& parameters) {
  CellRecord cell = example_cell(key, "kvcomm(ratio=0.5)");
  cell.dtype = dtype;
  cell.key_json = R"({"dtype":")" + dtype + R"(","parameters":)" + parameters + "}";
  return cell;
}

void write_three_keys(const fs::path& output) {
  write_run(output, "run1", with_key("old", "float32", R"({"alpha":1.0})"),
            example_row("old", 0, 1), example_row("old", 1, 1));
  write_run(output, "run2", with_key("mid", "bfloat16", R"({"alpha":0.25})"),
            example_row("mid", 0, 1), FailureRecord{.key = "mid", .what = "of the second"});
  write_run(output, "run3", with_key("new", "bfloat16", R"({"alpha":1.0})"),
            example_row("new", 0, 0.5));
}

TEST(ResultsTest, WhatIsLeftOutIsSaidInWords) {
  const TemporaryFolder folder;
  write_three_keys(folder.path());
  write_run(folder.path(), "run4", example_row("lost", 0, 1));
  EXPECT_EQ(left_out_text(read(folder.path())),
            (std::vector<std::string>{
                "4 rows of 3 other keys stay in the journals alone:",
                "kvcomm(ratio=0.5) on Länder, 1 row: alpha was 0.25, is 1.0",
                "kvcomm(ratio=0.5) on Länder, 2 rows: dtype was float32, is bfloat16",
                "1 row of a key that no cell has"}));
  EXPECT_EQ(left_out_text(read(folder.path()), 1).back(), "and 2 more.");
  EXPECT_TRUE(left_out_text(Results(Journals{})).empty());
}

TEST(ResultsTest, OfAllKeysEachIsACellOfItsOwn) {
  const TemporaryFolder folder;
  write_three_keys(folder.path());
  const Results results(read_journals(folder.path()), Keys::kAll);
  EXPECT_TRUE(results.left_out.empty());
  const std::vector<Table> tables = tables_of(results);
  const std::vector<std::string> variants{"", "alpha=0.25", "dtype=float32"};
  EXPECT_EQ(column<std::string>(table(tables, "cells"), "variant"), variants);
  EXPECT_EQ(column<uint64_t>(table(tables, "cells"), "n"), (std::vector<uint64_t>{1, 1, 2}));
  EXPECT_EQ(column<std::string>(table(tables, "samples"), "variant"),
            (std::vector<std::string>{"", "alpha=0.25", "dtype=float32", "dtype=float32"}));
  EXPECT_EQ(column<int32_t>(table(tables, "samples"), "cell"), (std::vector<int32_t>{0, 1, 2, 2}));
  EXPECT_EQ(column<std::string>(table(tables, "failures"), "variant"),
            std::vector<std::string>{"alpha=0.25"});
  EXPECT_EQ(read(folder.path()).cells.size(), 1u);
}

TEST(ResultsTest, VariantsThatDifferAlikeAreToldApart) {
  const TemporaryFolder folder;
  const auto other = [](const std::string& key, char last) {
    CellRecord cell = with_key(key, "float32", "{}");
    cell.key_json = R"({"prompts":{"sender":"a prompt that is too long to be shown )";
    cell.key_json += last;
    cell.key_json += "\"}}";
    return cell;
  };
  CellRecord twin = other("twin", 'a');  // another key for equal texts
  write_run(folder.path(), "run1", other("a", 'a'), example_row("a", 0, 1), other("b", 'b'),
            example_row("b", 0, 1), twin, example_row("twin", 0, 1));
  write_run(folder.path(), "run2", other("c", 'c'), example_row("c", 0, 1));
  const Results results(read_journals(folder.path()), Keys::kAll);
  std::set<std::string> variants;
  for (const CellResult& cell : results.cells) variants.insert(cell.variant);
  ASSERT_EQ(results.cells.size(), 4u);
  EXPECT_EQ(variants.size(), 4u);
  EXPECT_TRUE(variants.contains(""));
  EXPECT_TRUE(results.cells[1].variant.starts_with("prompts.sender=")) << results.cells[1].variant;
}

TEST(ResultsTest, ParametersAreColumns) {
  const TemporaryFolder folder;
  CellRecord kvcomm = example_cell("a", "kvcomm", R"({"alpha":0.25,"layers":null,"ratio":0.5})");
  CellRecord by_hand =
      example_cell("b", "kvcomm(layers=[0,3])", R"({"layers":[0,3],"ratio":null})");
  CellRecord others = example_cell("c", "ac", R"({"k":26,"j":0,"seed":7})");
  CellRecord older = example_cell("d", "baseline");
  older.key_json = "torn";
  write_run(folder.path(), "run", kvcomm, by_hand, others, older);
  const std::vector<Table> tables = tables_of(read(folder.path()));
  const Table& cells = table(tables, "cells");
  EXPECT_EQ(column<std::string>(cells, "parameters"),
            (std::vector<std::string>{R"({"alpha":0.25,"layers":null,"ratio":0.5})",
                                      R"({"layers":[0,3],"ratio":null})",
                                      R"({"j":0,"k":26,"seed":7})", "{}"}));
  EXPECT_EQ(column<double>(cells, "ratio")[0], 0.5);
  EXPECT_TRUE(std::isnan(column<double>(cells, "ratio")[1]));
  EXPECT_EQ(column<double>(cells, "alpha")[0], 0.25);
  EXPECT_TRUE(std::isnan(column<double>(cells, "mu")[0]));
  EXPECT_EQ(column<std::string>(cells, "layers"), (std::vector<std::string>{"", "[0,3]", "", ""}));
  EXPECT_EQ(column<int64_t>(cells, "seed"), (std::vector<int64_t>{-1, -1, 7, -1}));
  EXPECT_EQ(column<int64_t>(cells, "k"), (std::vector<int64_t>{-1, -1, 26, -1}));
  EXPECT_EQ(column<int64_t>(cells, "j"), (std::vector<int64_t>{-1, -1, 0, -1}));
}

TEST(ResultsTest, QuestionsAreThoseOfTheSamplesShown) {
  const TemporaryFolder folder;
  QuestionRecord other_data = example_question(0);
  other_data.fingerprint = "beef";
  QuestionRecord with_context = example_question(1);
  with_context.contexts = {"first", "second"};
  write_run(folder.path(), "run1", example_question(1), example_question(0), example_question(2),
            other_data, example_cell("a", "a"), example_cell("b", "b"), example_row("b", 0, 1),
            example_row("a", 1, 1));
  write_run(folder.path(), "run2", example_question(0), with_context);
  const std::vector<Table> tables = tables_of(read(folder.path()));
  const Table& questions = table(tables, "questions");
  EXPECT_EQ(column<uint32_t>(questions, "sample"), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(column<std::string>(questions, "fingerprint"),
            (std::vector<std::string>{"f00d", "f00d"}));
  EXPECT_EQ(column<std::string>(questions, "question")[0], "Wo liegt Zürich 0?");
  EXPECT_EQ(column<std::string>(questions, "answers")[0], R"(["Schweiz","die \"Schweiz\""])");
  EXPECT_EQ(column<std::string>(questions, "context"),
            (std::vector<std::string>{"", "first\nsecond"}));
}

TEST(ResultsTest, ReturningToAnOlderKeyShowsItsRowsAgain) {
  const TemporaryFolder folder;
  write_run(folder.path(), "run1", example_cell("old", "m"), example_row("old", 0, 1));
  write_run(folder.path(), "run2", example_cell("new", "m"), example_row("new", 0, 0.5));
  write_run(folder.path(), "run3", example_cell("old", "m"));  // nothing left to do
  EXPECT_EQ(read(folder.path()).cells.at(0).cell.key, "old");
}

TEST(ResultsTest, CellsComeInTheNewestRunsOrderAndMayShareAKey) {
  const TemporaryFolder folder;
  write_run(folder.path(), "run1", example_cell("a", "a"), example_cell("b", "b"),
            example_row("a", 0, 1), example_row("b", 0, 1));
  write_run(folder.path(), "run2", example_cell("b", "b"), example_cell("c", "c"),
            example_cell("b", "b as it is also called"));
  const Results results = read(folder.path());
  std::vector<std::string> methods;
  for (const CellResult& cell : results.cells) methods.push_back(cell.cell.method);
  EXPECT_EQ(methods, (std::vector<std::string>{"b", "c", "b as it is also called", "a"}));
  EXPECT_EQ(results.cells[2].n(), 1u);
  EXPECT_EQ(column<int32_t>(table(tables_of(results), "samples"), "cell"),
            (std::vector<int32_t>{0, 2, 3}));
}

TEST(ResultsTest, LayersKnownInAnyRunAreShown) {
  const TemporaryFolder folder;
  CellRecord not_yet = example_kv_cell("k", "m");
  not_yet.layers.clear();
  write_run(folder.path(), "run1", not_yet, example_kv_cell("k", "m"), example_kv_row("k", 0, 1));
  write_run(folder.path(), "run2", not_yet);
  const std::vector<Table> tables = tables_of(read(folder.path()));
  EXPECT_EQ(column<int32_t>(table(tables, "layers"), "rank"), (std::vector<int32_t>{3, 2, 1, 0}));
  EXPECT_EQ(column<uint64_t>(table(tables, "layers"), "kv_bytes"),
            (std::vector<uint64_t>{0, 100, 200, 0}));
}

TEST(ResultsTest, ALaterRankRecordReplacesAnEarlierOne) {
  const TemporaryFolder folder;
  write_run(folder.path(), "run", RankRecord{.run_id = "run", .rank = 1, .decode_s = 1},
            RankRecord{.run_id = "run", .rank = 0},
            RankRecord{.run_id = "run", .rank = 1, .decode_s = 5});
  const std::vector<Table> tables = tables_of(read(folder.path()));
  EXPECT_EQ(column<double>(table(tables, "ranks"), "decode_s"), (std::vector<double>{0, 5}));
}

TEST(MergeTest, IsAPureFunctionOfTheJournals) {
  const TemporaryFolder folder;
  write_run(folder.path(), "run1", example_kv_cell("k", "m"), example_kv_row("k", 0, 1),
            example_kv_row("k", 1, 0.5), FailureRecord{.key = "k", .what = "why"});
  merge(folder.path());
  const std::string first = read_file(folder.path() / "results.h5");
  ::usleep(1100 * 1000);  // a time stamp would differ
  merge(folder.path());
  EXPECT_EQ(read_file(folder.path() / "results.h5"), first);
  write_run(folder.path(), "run2", example_kv_row("k", 2, 1));
  EXPECT_EQ(merge(folder.path()).cells.at(0).n(), 3u);
  EXPECT_NE(read_file(folder.path() / "results.h5"), first);
}

TEST(MergeTest, OfAllKeysTheFileHasAnotherName) {
  const TemporaryFolder folder;
  write_three_keys(folder.path());
  merge(folder.path());
  const std::string newest = read_file(folder.path() / "results.h5");
  merge(folder.path(), Keys::kAll);
  EXPECT_EQ(read_file(folder.path() / "results.h5"), newest);
  EXPECT_NE(read_file(folder.path() / "all.h5"), newest);
}

TEST(MergeTest, LeavesOnlyTheWholeFileBehind) {
  const TemporaryFolder folder;
  write_run(folder.path(), "run1", example_cell("k", "m"));
  merge(folder.path());
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"journal", "results.h5"}));
}

TEST(MergeTest, AFullDiskLeavesTheOldFileAsItWas) {
  const TemporaryFolder folder;
  write_run(folder.path(), "run1", example_cell("k", "m"), example_row("k", 0, 1));
  merge(folder.path());
  const std::string before = read_file(folder.path() / "results.h5");
  write_run(folder.path(), "run2", example_row("k", 1, 1));
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      merge(folder.path());
    } catch (const Error& error) {
      ::_exit(error.exit() == Exit::kEnvironment ? 42 : 1);
    }
    ::_exit(2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 42);
  EXPECT_EQ(read_file(folder.path() / "results.h5"), before);
}

TEST(MergeTest, SaysWhatIsInTheWay) {
  const TemporaryFolder folder;
  try {
    write_results(folder.path() / "missing" / "results.h5", Results(Journals{}));
    FAIL() << "a missing folder was written to";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("No such file or directory"), std::string::npos)
        << error.what();
  }
}

TEST(MergeTest, ManyRowsAndOddTextsAreWritten) {  // several chunks; read back in tests/python
  const TemporaryFolder folder;
  {
    Journal journal(folder.path(), example_run("run"));
    journal.append(example_cell("k", "m"));
    for (uint32_t sample = 0; sample < 3000; ++sample) journal.append(example_row("k", sample, 1));
  }
  EXPECT_EQ(merge(folder.path()).cells.at(0).n(), 3000u);
}

void expect_same(const H5Content& got, const H5Content& expected) {
  EXPECT_EQ(got.attributes, expected.attributes);
  ASSERT_EQ(got.tables.size(), expected.tables.size());
  for (size_t t = 0; t < expected.tables.size(); ++t) {
    const auto &a = got.tables[t], &b = expected.tables[t];
    EXPECT_EQ(std::tie(a.name, a.rows), std::tie(b.name, b.rows));
    ASSERT_EQ(a.columns.size(), b.columns.size()) << b.name;
    for (size_t c = 0; c < b.columns.size(); ++c) {
      const auto parts = [](const Column& column) {
        return std::tie(column.name, column.units, column.long_name, column.variable_length);
      };
      EXPECT_EQ(parts(a.columns[c]), parts(b.columns[c])) << b.name;
      const auto* texts = std::get_if<std::vector<std::string>>(&b.columns[c].values);
      if (texts == nullptr) continue;
      EXPECT_EQ(column<std::string>(a, b.columns[c].name), *texts);
    }
  }
  // The bytes hold the numbers, NaN for NaN.
  EXPECT_EQ(h5_image(got.attributes, got.tables), h5_image(expected.attributes, expected.tables));
}

TEST(MergeTest, WhatIsInTheFileIsKnownWithoutReadingIt) {
  const TemporaryFolder folder;
  SampleRow odd = example_kv_row("k", 1, 0.5);
  odd.answer = std::string("a\0b \xC3\xBC\n", 7);
  write_run(folder.path(), "run1", example_kv_cell("k", "m"), example_cell("none", "no rows"),
            example_kv_row("k", 0, 1), odd, failed(example_kv_row("k", 2, 1)), example_question(0),
            FailureRecord{.key = "k", .what = "why"}, RankRecord{.run_id = "run1"});
  const Results results = merge(folder.path());
  expect_same(content_of(results), read_results(folder.path() / "results.h5"));
  expect_same(content_of(Results(Journals{})), [&] {
    write_results(folder.path() / "empty.h5", Results(Journals{}));
    return read_results(folder.path() / "empty.h5");
  }());
}

TEST(MergeTest, TwoAtOnceLeaveAWholeFile) {
  const TemporaryFolder folder;
  std::vector<pid_t> children;
  for (int writer = 0; writer < 3; ++writer) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    Journal journal(folder.path(), example_run("run" + std::to_string(writer)));
    journal.append(example_cell("k", "m"));
    for (uint32_t sample = 0; sample < 20; ++sample) {
      journal.append(example_row("k", static_cast<uint32_t>(writer) * 100 + sample, 1));
      merge(folder.path());
    }
    ::_exit(0);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const std::string left = read_file(folder.path() / "results.h5");
  EXPECT_EQ(merge(folder.path()).cells.at(0).n(), 60u);
  EXPECT_EQ(read_file(folder.path() / "results.h5"), left) << "the last to finish had not seen all";
}

TEST(SchemaTest, EveryColumnSaysWhatItIs) {
  for (const Table& t : tables_of(Results(Journals{}))) {
    EXPECT_EQ(t.rows, 0u);
    for (const Column& c : t.columns) {
      EXPECT_FALSE(c.long_name.empty()) << t.name << "." << c.name;
      const bool text = std::holds_alternative<std::vector<std::string>>(c.values);
      EXPECT_EQ(c.units.empty(), text) << t.name << "." << c.name;
      const std::set<std::string> long_texts{"answer", "answers", "question", "context"};
      EXPECT_EQ(c.variable_length, long_texts.contains(c.name)) << t.name << "." << c.name;
    }
  }
}

}  // namespace
}  // namespace kvcomm
