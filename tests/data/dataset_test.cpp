#include "data/dataset.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

constexpr std::string_view kDemo =
    R"({"id": "d1", "context": "Anna is in Rome.", "question": "Where is Anna?", "answers": ["Rome"]})";

fs::path write(const TemporaryFolder& folder, const std::string& name, std::string_view content) {
  std::ofstream(folder.path() / name, std::ios::binary) << content;
  return folder.path() / name;
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kUsage);
    return error.what();
  }
  return "not refused";
}

TEST(Table, NamesTheDataSetsWithTheirDefaults) {
  ASSERT_EQ(dataset_table().size(), 3u);
  const DatasetInfo& countries = dataset_info("countries");
  EXPECT_EQ(countries.kind, "qa");
  EXPECT_EQ(countries.metric, "f1_match");
  EXPECT_EQ(countries.max_new_tokens, 5);
  EXPECT_EQ(countries.file_name, "countries.jsonl");
  EXPECT_EQ(dataset_info("tipsheets").max_new_tokens, 10);
  EXPECT_EQ(dataset_info("demo").metric, "includes");
}

TEST(Table, RefusesAnUnknownNameWithTheNearMiss) {
  EXPECT_EQ(refusal([] { dataset_info("countrys"); }),
            "Unknown data set 'countrys'. Did you mean 'countries'? Known: countries, tipsheets, "
            "demo.");
}

TEST(Countries, HasContextQuestionAndAnswerInFileOrder) {
  const TemporaryFolder folder;
  const fs::path file = write(
      folder, "c.jsonl",
      R"({"id": "c7", "person": "Uma", "landmark": "Big Ben", "country": "UK", "prompt_A": "Uma is at Big Ben.", "prompt_B": "Which country is Uma in?", "y": "UK"})"
      "\n"
      R"({"id": "c3", "prompt_A": "Bo is at “Köln”.", "prompt_B": "Which country is Bo in?", "y": "Germany"})");
  const Dataset dataset = load_dataset("countries", file);
  EXPECT_EQ(dataset.info.name, "countries");
  EXPECT_EQ(dataset.path, file);
  EXPECT_EQ(dataset.fingerprint, hash128_hex(read_file(file)));
  ASSERT_EQ(dataset.samples.size(), 2u);
  const Sample& second = dataset.samples[1];
  EXPECT_EQ(second.index, 1u);
  EXPECT_EQ(second.id, "c3");
  EXPECT_EQ(second.contexts, std::vector<std::string>{"Bo is at “Köln”."});
  EXPECT_EQ(second.question, "Which country is Bo in?");
  EXPECT_EQ(second.answers, std::vector<std::string>{"Germany"});
}

TEST(Tipsheets, AreNamedByFileAndLineForTheyHaveNoId) {
  const TemporaryFolder folder;
  const std::string record =
      R"({"prompt_A": "Tips.", "prompt_B": "Which?\nName:", "options": ["A", "B"], "label": "B", "attitudes": {"A": "negative"}})";
  const Dataset dataset =
      load_dataset("tipsheets", write(folder, "tips.jsonl", record + "\r\n\n" + record + "\n"));
  ASSERT_EQ(dataset.samples.size(), 2u);
  EXPECT_EQ(dataset.samples[0].id, "tips.jsonl:1");
  EXPECT_EQ(dataset.samples[1].id, "tips.jsonl:3");  // the blank line counts as a line
  EXPECT_EQ(dataset.samples[0].question, "Which?\nName:");
  EXPECT_EQ(dataset.samples[0].answers, std::vector<std::string>{"B"});
}

TEST(Demo, MayHaveSeveralAnswers) {
  const TemporaryFolder folder;
  const Dataset dataset = load_dataset(
      "demo", write(folder, "demo.jsonl",
                    R"({"id": 12, "context": "c", "question": "q", "answers": ["Rome", "Roma"]})"));
  EXPECT_EQ(dataset.samples[0].id, "12");
  EXPECT_EQ(dataset.samples[0].answers, (std::vector<std::string>{"Rome", "Roma"}));
}

TEST(Content, DecidesBetweenLinesAndAnArrayWhateverTheFileIsCalled) {
  const TemporaryFolder folder;
  const std::string bare(kDemo);
  const auto ids = [&](const std::string& name, const std::string& content) {
    const Dataset dataset = load_dataset("demo", write(folder, name, content));
    return dataset.samples.at(0).id;
  };
  EXPECT_EQ(ids("array.jsonl", " \n[\n" + bare + "]\n"), "d1");
  EXPECT_EQ(ids("lines.json", "\n" + bare), "d1");
  EXPECT_EQ(ids("mark.json", "\xEF\xBB\xBF[" + bare + "]"), "d1");
  EXPECT_EQ(ids("mark.jsonl", "\xEF\xBB\xBF" + bare + "\n"), "d1");
  EXPECT_EQ(ids("noid.json", R"([{"context": "c", "question": "q", "answers": ["x"]}])"),
            "noid.json[0]");
}

TEST(Content, OfALineMayBeLong) {
  const TemporaryFolder folder;
  const std::string context(5'000'000, 'x');
  const fs::path file =
      write(folder, "demo.jsonl",
            R"({"id": "a", "question": "q", "answers": ["x"], "context": ")" + context + "\"}\n");
  EXPECT_EQ(load_dataset("demo", file).samples[0].contexts[0], context);
}

TEST(Content, OfTenThousandRecordsIsReadWithinTwoSeconds) {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 10000; ++i) {
    lines += fmt::format(R"({{"id": {}, "context": "{}", "question": "q", "answers": ["x"]}})", i,
                         std::string(500, 'c'));
    lines += "\n";
  }
  const fs::path file = write(folder, "demo.jsonl", lines);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(load_dataset("demo", file).samples.size(), 10000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(Find, LooksInTheWorkingFolderThenInPathsData) {
  const TemporaryFolder data, elsewhere;
  const fs::path by_name = write(data, "countries.jsonl", "");
  const fs::path own = write(data, "own.jsonl", "");
  const fs::path far = write(elsewhere, "far.jsonl", "");
  EXPECT_EQ(find_dataset("countries", "", data.path()), by_name);
  EXPECT_EQ(find_dataset("countries", "own.jsonl", data.path()), own);
  EXPECT_EQ(find_dataset("countries", far, data.path()), far);
  const fs::path before = fs::current_path();
  fs::current_path(elsewhere.path());
  write(elsewhere, "own.jsonl", "");
  EXPECT_EQ(find_dataset("countries", "own.jsonl", data.path()), fs::path("own.jsonl"));
  fs::current_path(before);
}

TEST(Find, SaysWhereItLooked) {
  const TemporaryFolder data;
  const std::string folder = data.path().string();
  EXPECT_EQ(refusal([&] { find_dataset("countries", "", data.path()); }),
            "No file of the data set 'countries' at '" + folder +
                "/countries.jsonl': set paths.data to its folder, or path in its [[dataset]].");
  EXPECT_EQ(refusal([&] { find_dataset("countries", "no.jsonl", data.path()); }),
            "No file of the data set 'countries' at '" +
                (fs::current_path() / "no.jsonl").string() + "' and '" + folder +
                "/no.jsonl': set path in its [[dataset]] to the file.");
}

TEST(SharedData, LoadsWhole) {
  KVCOMM_NEEDS_SHARED();
  const fs::path data = testing::shared_dir() / "data";
  const Dataset countries = load_dataset("countries", find_dataset("countries", "", data));
  ASSERT_EQ(countries.samples.size(), 200u);
  EXPECT_EQ(countries.samples[0].id, "countries_0000");
  EXPECT_EQ(countries.samples[0].contexts[0], "Uma is at the Mahaffie House.");
  EXPECT_EQ(countries.samples[0].answers[0], "United States");
  const Dataset tipsheets = load_dataset("tipsheets", find_dataset("tipsheets", "", data));
  ASSERT_EQ(tipsheets.samples.size(), 500u);
  EXPECT_EQ(tipsheets.samples[499].id, "tipsheets.jsonl:500");
  EXPECT_EQ(tipsheets.samples[0].answers[0], "Sable LLC");
}

}  // namespace
}  // namespace kvcomm
