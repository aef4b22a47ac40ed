// What a folder is to hold and who works on it, from records alone.
#include "sweep/status.h"

#include <gmock/gmock.h>

#include "sweep/wanted.h"

namespace kvcomm {
namespace {

CellRecord cell_of(const std::string& pair, const std::string& method, const std::string& key,
                   uint64_t samples) {
  return {.key = key, .pair = pair, .dataset = "demo", .method = method, .n_planned = samples};
}

SampleRow row_of(const std::string& key, uint32_t sample, bool failed = false) {
  return {.key = key, .sample = sample, .failed = failed};
}

std::vector<WantedCell> wanted(const Journals& journals) {
  return wanted_cells(journals, CompletedIndex(journals));
}

std::vector<std::string> keys_of(const std::vector<WantedCell>& cells) {
  std::vector<std::string> keys;
  for (const WantedCell& cell : cells) keys.push_back(cell.cell->key);
  return keys;
}

TEST(Wanted, CountsAnswersFailuresAndWhatIsLeft) {
  Journals journals;
  journals.runs = {{.cells = {cell_of("a", "skyline", "k", 5)},
                    .samples = {row_of("k", 0), row_of("k", 1, true), row_of("k", 2, true)}},
                   {.samples = {row_of("k", 2), row_of("k", 7), row_of("other", 3)}}};
  const std::vector<WantedCell> cells = wanted(journals);
  ASSERT_EQ(cells.size(), 1u);
  EXPECT_EQ(cells[0].done, 2u);
  EXPECT_THAT(cells[0].failed, testing::ElementsAre(1));
  EXPECT_THAT(cells[0].left, testing::ElementsAre(3, 4));
}

TEST(Wanted, OfAPairIsWhatItsNewestRunWants) {
  Journals journals;
  journals.runs = {
      {.cells = {cell_of("a", "skyline", "old", 2), cell_of("a", "ac", "gone", 2)}},
      {.cells = {cell_of("b", "skyline", "b", 2)}},
      {.cells = {cell_of("a", "skyline", "new", 3), cell_of("a", "skyline", "new", 4)}}};
  const std::vector<WantedCell> cells = wanted(journals);
  EXPECT_THAT(keys_of(cells), testing::ElementsAre("new", "b"));
  EXPECT_EQ(cells[0].left.size(), 4u);  // the later record of the run
}

TEST(Wanted, ACellWaitsForItsCalibration) {
  Journals journals;
  CellRecord cell = cell_of("a", "kvcomm", "k", 1);
  cell.calibration_key = "c";
  journals.runs = {{.cells = {cell}}};
  EXPECT_TRUE(wanted(journals)[0].uncalibrated);
  journals.runs.push_back({.calibrations = {{.key = "c", .importance = {1}}}});
  EXPECT_FALSE(wanted(journals)[0].uncalibrated);
}

TEST(Runs, BeganWhenTheirIdsSay) {
  const auto first = began_s("20261123T045549.000Z-node-7-1234");
  const auto second = began_s("20261123T045650.250Z-node-7-1234");
  ASSERT_TRUE(first && second);
  EXPECT_DOUBLE_EQ(*second - *first, 61.25);
  EXPECT_EQ(began_s("19700102T000000.000Z-x-1"), 24 * 3600);
  EXPECT_FALSE(began_s("notes"));
  EXPECT_FALSE(began_s(""));
}

TEST(Runs, HoldAllPairsThatTheirProcessHasLocked) {
  Journals journals;
  journals.runs = {{.file = "out/journal/20261123T045549.000Z-node-7-12.jsonl",
                    .cells = {cell_of("a b", "skyline", "k", 2)},
                    .samples = {row_of("k", 0)}},
                   {.file = "out/journal/20261123T045650.000Z-node-7-112.jsonl"}};
  const ProcessId owner{.host = "node-7", .scope = "x", .pid = 12, .start = "1"};
  const std::vector<RunStatus> runs = runs_of(
      {{.file = "a%20b", .process = owner, .owner = "host node-7, process 12"},
       {.file = "c", .process = owner, .owner = "host node-7, process 12", .untouched_s = 9},
       {.file = "d", .process = {}, .owner = "another", .untouched_s = kStaleAfter_s}},
      journals);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].run_id, "20261123T045549.000Z-node-7-12");
  EXPECT_THAT(runs[0].pairs, testing::ElementsAre("a b", "c"));
  EXPECT_EQ(runs[0].rows, 1u);
  EXPECT_EQ(runs[0].untouched_s, 0);
  EXPECT_EQ(runs[0].life, Life::kLives);
  EXPECT_EQ(runs[1].run_id, "");
  EXPECT_EQ(runs[1].life, Life::kSilent);
  EXPECT_TRUE(is_written(journals.runs[0].file, runs));
  EXPECT_FALSE(is_written(journals.runs[1].file, runs));
}

}  // namespace
}  // namespace kvcomm
