#include "data/dataset.h"

#include <gtest/gtest.h>

#include <ctime>

#include "base/files.h"
#include "base/hash.h"
#include "tests/data/data_fixture.h"

namespace kvcomm {
namespace {

namespace fs = std::filesystem;
using testing::refusal;
using testing::TemporaryFolder;

constexpr std::string_view kDemo =
    R"({"id": "d1", "context": "Anna is in Rome.", "question": "Where is Anna?", "answers": ["Rome"]})";

#ifdef __SANITIZE_ADDRESS__
constexpr double kAllowedSeconds = 20;
#else
constexpr double kAllowedSeconds = 2;
#endif

// This process's own: the clock on the wall also counts what else the machine does.
double cpu_s() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

fs::path write(const TemporaryFolder& folder, const std::string& name, std::string_view content) {
  return testing::write(folder.path(), name, content);
}

TEST(Table, NamesTheDataSetsWithTheirDefaults) {
  const DatasetInfo& countries = dataset_info("countries");
  EXPECT_EQ(countries.kind, "qa");
  EXPECT_EQ(countries.metric, "f1_match");
  EXPECT_EQ(countries.max_new_tokens, 5);
  EXPECT_FALSE(countries.truncates);
  EXPECT_EQ(dataset_info("tipsheets").max_new_tokens, 10);
  EXPECT_EQ(dataset_info("demo").metric, "includes");
  const DatasetInfo& hotpotqa = dataset_info("hotpotqa");
  EXPECT_EQ(hotpotqa.max_new_tokens, 48);
  EXPECT_EQ(hotpotqa.records, 7405u);
  EXPECT_EQ(hotpotqa.sampled, 500u);
  EXPECT_TRUE(hotpotqa.truncates);
  EXPECT_EQ(dataset_info("hotpotqa_full").sampled, 0u);
  EXPECT_EQ(dataset_info("tmath").kind, "math");
  EXPECT_EQ(dataset_info("tmath").sampled, 300u);
  EXPECT_EQ(dataset_info("samsum").metric, "rouge_l_recall");
  EXPECT_EQ(dataset_info("repobench").metric, "edit_similarity");
  EXPECT_EQ(dataset_info("mmlu_stem").metric, "accuracy");
}

TEST(Table, RefusesAnUnknownNameWithTheNearMiss) {
  EXPECT_TRUE(refusal([] { dataset_info("countrys"); })
                  .starts_with("Unknown data set 'countrys'. Did you mean 'countries'? Known: "
                               "countries, tipsheets, demo, hotpotqa, "));
  EXPECT_EQ(refusal([] { dataset_info("longbench_2wikimqa"); }),
            "The data set 'longbench_2wikimqa' is called 'twowikimqa' here.");
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

TEST(Content, OfAnArraysTextsMayHoldBracketsAndEscapedQuotes) {
  const TemporaryFolder folder;
  const std::string first =
      R"({"id": "e", "context": "\"]}, {\"", "question": "\\", "answers": ["[", "{\\\""]})";
  const Dataset dataset =
      load_dataset("demo", write(folder, "a", "[" + first + ",\n" + std::string(kDemo) + "]"));
  ASSERT_EQ(dataset.samples.size(), 2u);
  EXPECT_EQ(dataset.samples[0].contexts[0], "\"]}, {\"");
  EXPECT_EQ(dataset.samples[0].question, "\\");
  EXPECT_EQ(dataset.samples[0].answers[1], "{\\\"");
  EXPECT_EQ(dataset.samples[1].id, "d1");
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
  const double start_s = cpu_s();
  EXPECT_EQ(load_dataset("demo", file).samples.size(), 10000u);
  EXPECT_LT(cpu_s() - start_s, kAllowedSeconds);
}

// ---- the evaluated order

std::string hotpot_record(int id) {
  return fmt::format(
      R"({{"_id": "h{0}", "question": "q{0}", "answer": "a", "supporting_facts": [["T", 0]],)"
      R"( "context": [["T", ["Sentence {0}."]], ["U", ["{1}"]]]}})",
      id, std::string(4000, 'u'));
}

std::string hotpot_array(int records) {
  std::string text = "[";
  for (int i = 0; i < records; ++i) text += (i == 0 ? "" : ", ") + hotpot_record(i);
  return text + "]";
}

TEST(Order, IsNumpysShuffleForSampledDataSetsAndTheFilesForTheWholeOnes) {
  const TemporaryFolder folder;
  const fs::path file = write(folder, "hotpot.json", hotpot_array(600));
  const Dataset sampled = load_dataset("hotpotqa", file);
  ASSERT_EQ(sampled.samples.size(), 500u);  // of numpy's default_rng(42).permutation(600)
  EXPECT_EQ(sampled.samples[0].id, "h522");
  EXPECT_EQ(sampled.samples[1].id, "h409");
  EXPECT_EQ(sampled.samples[499].id, "h266");
  EXPECT_EQ(sampled.samples[499].index, 499u);
  const Dataset whole = load_dataset("hotpotqa_full", file);
  ASSERT_EQ(whole.samples.size(), 600u);
  EXPECT_EQ(whole.samples[599].id, "h599");
}

TEST(Order, WarnsWhereTheRecordsAreNotThePublishedOnes) {
  const TemporaryFolder folder;
  const fs::path file = write(folder, "hotpot.json", hotpot_array(3));
  EXPECT_EQ(load_dataset("hotpotqa", file).warning,
            "'" + file.string() +
                "' has 3 records, the published 'hotpotqa' has 7405: scores are not comparable to "
                "the paper's.");
  EXPECT_EQ(load_dataset("hotpotqa", file).samples.size(), 3u);
}

TEST(Size, OfTheWholeHotpotQaIsReadWithinTwoSecondsRecordByRecord) {
  const TemporaryFolder folder;
  const fs::path file = write(folder, "hotpot.json", hotpot_array(7405));  // 31 MB
  const double start_s = cpu_s();
  EXPECT_EQ(load_dataset("hotpotqa_full", file).warning, "");
  EXPECT_LT(cpu_s() - start_s, kAllowedSeconds);
}

TEST(Fingerprint, OfAFolderTellsNamesAndBytes) {
  const TemporaryFolder folder;
  const auto load = [&] { return load_dataset("mmlu_stem", folder.path()).fingerprint; };
  write(folder, "test/astronomy_test.csv", "q,a,b,c,d,A\n");
  write(folder, "dev/astronomy_dev.csv", "p,a,b,c,d,B\n");
  const std::string before = load();
  EXPECT_EQ(load(), before);
  write(folder, "dev/astronomy_dev.csv", "p,a,b,c,d,C\n");
  EXPECT_NE(load(), before);
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
