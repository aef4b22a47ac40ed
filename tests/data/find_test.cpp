// Where data sets are looked for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "data/dataset.h"
#include "tests/data/data_fixture.h"

namespace kvcomm::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::string_view kCountry = R"({"id": "c", "prompt_A": "a", "prompt_B": "b", "y": "c"})";

TEST(Find, TakesAPathFromTheWorkingFolderThenFromPathsData) {
  const TemporaryFolder data, elsewhere;
  const fs::path own = write(data.path(), "own.jsonl", "");
  const fs::path far = write(elsewhere.path(), "far.jsonl", "");
  EXPECT_EQ(find_dataset("countries", "own.jsonl", data.path()), own);
  EXPECT_EQ(find_dataset("countries", far, data.path()), far);
  const fs::path before = fs::current_path();
  fs::current_path(elsewhere.path());
  write(elsewhere.path(), "own.jsonl", "");
  EXPECT_EQ(find_dataset("countries", "own.jsonl", data.path()), fs::path("own.jsonl"));
  fs::current_path(before);
}

TEST(Find, KnowsAFileByItsContentAlsoInAFolderOfPathsData) {
  const TemporaryFolder data;
  const fs::path file = write(data.path(), "people.json", "[" + std::string(kCountry) + "]");
  write(data.path(), "notes.txt", kCountry);
  write(data.path(), "broken.jsonl", "{");
  copy_records(data.path(), "musique.jsonl", "hotpotqa.jsonl");  // the name says nothing
  fs::create_directory(data.path() / "LongBench");
  copy_records(data.path(), "longbench_hotpotqa.jsonl", "LongBench/hotpotqa.jsonl");
  copy_records(data.path(), "longbench_qasper.jsonl", "LongBench/qasper.jsonl");
  EXPECT_EQ(find_dataset("countries", "", data.path()), file);
  EXPECT_EQ(find_dataset("musique", "", data.path()), data.path() / "hotpotqa.jsonl");
  EXPECT_EQ(find_dataset("longbench_hotpotqa", "", data.path()),
            data.path() / "LongBench/hotpotqa.jsonl");
  EXPECT_EQ(look_for_dataset("samsum", data.path()), std::nullopt);
}

TEST(Find, TakesExtensionsInCapitalsAndPassesOverHiddenFiles) {
  const TemporaryFolder data;
  const fs::path file = write(data.path(), "COUNTRIES.JSONL", kCountry);
  write(data.path(), "._countries.jsonl", kCountry);
  EXPECT_EQ(find_dataset("countries", "", data.path()), file);
  copy_records(data.path(), "TMATH");
  const size_t samples = load_dataset("tmath", data.path() / "TMATH").samples.size();
  write(data.path(), "TMATH/hint_algebra/._hint_1.json", "{");
  EXPECT_EQ(load_dataset("tmath", data.path() / "TMATH").samples.size(), samples);
}

// Nothing in it says which of LongBench's data sets it is.
TEST(Find, TakesAnUnmarkedLongBenchFileByItsNameAlone) {
  const TemporaryFolder data;
  nlohmann::json record = nlohmann::json::parse(
      read_file(testing::source_dir() / "tests/data/records/longbench_repobench-p.jsonl"));
  for (const char* mark : {"dataset", "task"}) record.erase(mark);
  const fs::path file = write(data.path(), "some.jsonl", record.dump());
  for (const char* name : {"twowikimqa", "multifieldqa_en", "longbench_repobench-p"}) {
    EXPECT_EQ(look_for_dataset(name, data.path()), std::nullopt) << name;
  }
  const fs::path named = data.path() / "longbench_repobench-p.jsonl";
  fs::rename(file, named);
  EXPECT_EQ(look_for_dataset("longbench_repobench-p", data.path()), named);
}

TEST(Find, KnowsFoldersOfFiles) {
  const TemporaryFolder data;
  copy_records(data.path(), "TMATH");
  fs::create_directory(data.path() / "mmlu");
  copy_records(data.path(), "mmlu", "mmlu/data");  // as the published archive unpacks
  EXPECT_EQ(find_dataset("tmath", "", data.path()), data.path() / "TMATH");
  EXPECT_EQ(find_dataset("mmlu_stem", "", data.path()), data.path() / "mmlu/data");
  EXPECT_EQ(look_for_dataset("mmlu_social_science", data.path()), std::nullopt);
}

TEST(Find, RefusesTwoAndNamesBoth) {
  const TemporaryFolder data;
  copy_records(data.path(), "hotpot_own.json");
  copy_records(data.path(), "hotpot_hub.jsonl");
  const std::string folder = data.path().string();
  EXPECT_EQ(refusal([&] { find_dataset("hotpotqa", "", data.path()); }),
            "The data set 'hotpotqa' can be read from '" + folder + "/hotpot_hub.jsonl' and '" +
                folder + "/hotpot_own.json': set path in its [[dataset]] to one.");
  EXPECT_EQ(find_dataset("hotpotqa", "hotpot_own.json", data.path()),
            data.path() / "hotpot_own.json");
}

TEST(Find, TakesAFileOfTheNameWhereNoneHasTheFormSoThatItsRefusalIsHeard) {
  const TemporaryFolder data;
  copy_records(data.path(), "longbench_hotpotqa.jsonl", "hotpotqa.jsonl");
  const fs::path broken = write(data.path(), "countries.jsonl", "{");
  EXPECT_EQ(find_dataset("hotpotqa", "", data.path()), data.path() / "hotpotqa.jsonl");
  EXPECT_EQ(find_dataset("countries", "", data.path()), broken);
}

TEST(Find, SaysWhereItLooked) {
  const TemporaryFolder data;
  const std::string folder = data.path().string();
  EXPECT_THAT(refusal([&] { find_dataset("countries", "", data.path()); }),
              AllOf(HasSubstr("No file of the data set 'countries' in '" + folder + "'"),
                    HasSubstr("paths.data"), HasSubstr("kvcomm ls datasets")));
  EXPECT_EQ(refusal([&] { find_dataset("countries", "no.jsonl", data.path()); }),
            "No file of the data set 'countries' at '" +
                (fs::current_path() / "no.jsonl").string() + "' and '" + folder +
                "/no.jsonl': set path in its [[dataset]] to the file.");
}

}  // namespace
}  // namespace kvcomm::testing
