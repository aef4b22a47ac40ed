// Every published form loads with the fields that the paper's code takes; other forms are refused
// with the reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/files.h"
#include "data/dataset.h"
#include "tests/data/data_fixture.h"

namespace kvcomm::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The samples of a file among the committed records, by id.
std::map<std::string, Sample> by_id(const std::string& dataset, const std::string& file) {
  std::map<std::string, Sample> found;
  for (Sample& sample : load_dataset(dataset, records_dir() / file).samples) {
    found.emplace(sample.id, sample);
  }
  return found;
}

std::string refusal_of(const std::string& dataset, const std::string& file) {
  return refusal([&] { load_dataset(dataset, records_dir() / file); });
}

TEST(HotpotQa, GivesTheSupportingSentencesInTheOrderOfTheFacts) {
  for (const char* file : {"hotpot_own.json", "hotpot_hub.jsonl"}) {
    const auto samples = by_id("hotpotqa", file);
    ASSERT_EQ(samples.size(), 2u) << file;
    const Sample& first = samples.at("h1");
    // Unstripped; a title twice, a sentence past the end and a page that is not there.
    EXPECT_THAT(first.contexts, ElementsAre(" She was born in Bergen.\nHolm Light is kept by Olga "
                                            "Rand.\nOlga Rand is a lighthouse keeper."));
    EXPECT_EQ(first.question, "In which town was the keeper of Holm Light born?");
    EXPECT_THAT(first.answers, ElementsAre("Bergen"));
  }
}

TEST(Musique, GivesSupportingParagraphsOfAnswerableQuestionsWithAliases) {
  const auto samples = by_id("musique_full", "musique.jsonl");
  ASSERT_EQ(samples.size(), 2u);
  const Sample& first = samples.at("2hop__1_2");
  EXPECT_THAT(first.contexts,
              ElementsAre("The river Aro ends at Port Lune.\nPort Lune is ruled by a guild."));
  EXPECT_THAT(first.answers, ElementsAre("a guild", "the guild", "guild of Port Lune"));
}

TEST(Qasper, SplitsTheInputAtItsFirstBlankLineAndTakesEachAnswerForASample) {
  const auto samples = by_id("qasper", "qasper_scrolls.jsonl");
  ASSERT_EQ(samples.size(), 3u);
  const Sample& second = samples.at("q1_1");
  EXPECT_EQ(second.question, "How large is the gauge's error?");
  EXPECT_THAT(second.contexts,
              ElementsAre("A Paper on Tides\n\nWe measure tides.\n\nThe gauge errs by 2 mm."));
  EXPECT_THAT(second.answers, ElementsAre("two millimetres"));
}

TEST(LongBench, IsReadPlainAndFromTheHubsCopyWithItsInstructions) {
  const Dataset plain = load_dataset("twowikimqa", records_dir() / "longbench_2wikimqa.jsonl");
  EXPECT_EQ(plain.samples[1].id, "2wikimqa-1");
  EXPECT_EQ(plain.samples[1].question, "Is the mill older than the bridge?");
  EXPECT_THAT(plain.samples[1].contexts, ElementsAre("Passage 1:\nText 1\nGulls eat fish.\n"));
  EXPECT_THAT(plain.samples[1].answers, ElementsAre("fish", "small fish"));
  const Dataset hub = load_dataset("twowikimqa", records_dir() / "longbench_hub_2wikimqa.jsonl");
  EXPECT_EQ(hub.samples[0].id, "longbench_hub_2wikimqa.jsonl:1");
  EXPECT_EQ(hub.samples[0].question, "Question: Is the mill older?\n");
  EXPECT_THAT(hub.samples[0].contexts[0], ::testing::StartsWith("Answer from the passages.\n"));
  for (const char* part : {"multifieldqa_en", "hotpotqa", "musique", "qasper"}) {
    const std::string name =
        std::string(part) == "multifieldqa_en" ? part : "longbench_" + std::string(part);
    EXPECT_EQ(by_id(name, "longbench_" + std::string(part) + ".jsonl").size(), 2u) << name;
  }
}

TEST(LongBench, HasNoQuestionsForCode) {
  const auto samples = by_id("longbench_repobench-p", "longbench_repobench-p.jsonl");
  EXPECT_EQ(samples.at("repobench-p-0").question, "");
  EXPECT_THAT(samples.at("repobench-p-0").answers, ElementsAre("x = f()"));
  EXPECT_EQ(dataset_info("longbench_repobench-p").max_new_tokens, 64);
}

TEST(LongBench, IsRefusedUnderThePapersNames) {
  for (const std::string name : {"hotpotqa", "musique", "qasper", "hotpotqa_full"}) {
    const std::string part = name.substr(0, name.find('_'));
    EXPECT_THAT(refusal_of(name, "longbench_" + part + ".jsonl"),
                AllOf(HasSubstr("longbench_" + part + ".jsonl:1 has the form of LongBench's jsonl"),
                      HasSubstr("LongBench's " + part + " is the data set 'longbench_" + part +
                                "', other samples than the paper's " + part + ".")));
  }
  EXPECT_EQ(refusal_of("twowikimqa", "longbench_musique.jsonl"),
            "longbench_musique.jsonl:1 is of LongBench's musique, the data set 'twowikimqa' is its "
            "2wikimqa. LongBench's musique is the data set 'longbench_musique'.");
}

TEST(TwoWiki, IsNotReadFromItsOwnFile) {
  EXPECT_THAT(refusal_of("twowikimqa", "two_wiki_own.json"),
              AllOf(HasSubstr("two_wiki_own.json[0] has the form of 2WikiMultihopQA's own JSON"),
                    HasSubstr("others than those of LongBench's 2wikimqa")));
  EXPECT_THAT(refusal_of("hotpotqa", "two_wiki_own.json"), HasSubstr("2WikiMultihopQA's own"));
}

TEST(OtherForms, AreRefusedWithTheOnesThatAreRead) {
  EXPECT_EQ(refusal_of("hotpotqa", "musique.jsonl"),
            "musique.jsonl:1 has the form of MuSiQue's jsonl; the data set 'hotpotqa' is read from "
            "HotpotQA's own JSON or the hub's hotpot_qa.");
  EXPECT_THAT(refusal_of("longbench_hotpotqa", "hotpot_own.json"),
              HasSubstr("hotpot_own.json[0] has the form of HotpotQA's own JSON"));
  EXPECT_THAT(refusal_of("countries", "samsum.csv"),
              HasSubstr("samsum.csv:2 has the form of SAMSum"));
}

TEST(RepoBench, LaysOutFilesAndLeavesOutLongContexts) {
  const auto samples = by_id("repobench", "repobench_v1.1.jsonl");
  ASSERT_EQ(samples.size(), 2u);  // the third has 5,000 characters, the second 4,999
  EXPECT_EQ(samples.count("repobench_v1.1.jsonl:3"), 0u);
  const Sample& first = samples.at("repobench_v1.1.jsonl:1");
  EXPECT_EQ(first.contexts[0],
            "# Repo Name: anna/tool0\n# Path: src/f.py\ndef f():\n    return éééééééééé\n\n"
            "# Path: src/g.py\ndef g(): ...\n\n");
  EXPECT_EQ(first.question, "# Path: src/main.py\nfrom src.f import f\n\ndef run():\n");
  EXPECT_THAT(first.answers, ElementsAre("    return f()"));
}

TEST(Samsum, HalvesTheLinesWithTheFirstHalfForTheSender) {
  for (const char* file : {"samsum.json", "samsum.csv"}) {
    const auto samples = by_id("samsum", file);
    ASSERT_EQ(samples.size(), 3u) << file;
    EXPECT_THAT(samples.at("13").contexts, ElementsAre("Ann: Tea?\r\nBo: Yes."));
    EXPECT_EQ(samples.at("13").question, "Ann: At six?\r\nBo: Six, \"sharp\".");
    EXPECT_THAT(samples.at("14").contexts, ElementsAre(IsEmpty()));
    EXPECT_EQ(samples.at("14").question, "Cy: Hello.");
    EXPECT_THAT(samples.at("15").contexts, ElementsAre("Di: One,"));
    EXPECT_THAT(samples.at("15").answers, ElementsAre("Di and Ed, talk."));
  }
}

TEST(Tmath, GoesByTheReleasesSubjectsAndTheNamesBytes) {
  for (const auto& path : {records_dir() / "TMATH", records_dir()}) {
    const auto samples = by_id("tmath", path);
    EXPECT_THAT(load_dataset("tmath", path).samples.size(), 4u);
    EXPECT_EQ(samples.at("hint_algebra/hint_10.json").question, "Solve x + 1 = 3.");
    EXPECT_THAT(samples.at("hint_algebra/hint_10.json").answers, ElementsAre("\\boxed{2}"));
  }
  // numpy's default_rng(42).permutation(4) is 3, 2, 1, 0.
  std::vector<std::string> ids;
  for (const Sample& sample : load_dataset("tmath", records_dir()).samples)
    ids.push_back(sample.id);
  EXPECT_THAT(ids,
              ElementsAre("hint_counting_and_probability/hint_2.json", "hint_geometry/hint_1.json",
                          "hint_algebra/hint_9.json", "hint_algebra/hint_10.json"));
}

TEST(Mmlu, AsksAfterTheSubjectsSolvedExamples) {
  const Dataset stem = load_dataset("mmlu_stem", records_dir() / "mmlu");
  ASSERT_EQ(stem.samples.size(), 3u);
  EXPECT_EQ(stem.samples[0].id, "abstract_algebra_test.csv:1");
  const Sample& moon = stem.samples[2];
  EXPECT_EQ(moon.id, "astronomy_test.csv:2");
  EXPECT_EQ(moon.contexts[0],
            "Which is a star?\nA. Io\nB. Mars\nC. Vega\nD. Ceres\nAnswer: C\n\n"
            "How many suns are there here?\nA. 0\nB. 1\nC. 2\nD. 3\nAnswer: B");
  EXPECT_EQ(moon.question,
            "What, if \"seen\",\nis a moon?\nA. Mars\nB. Io\nC. 0\nD. None of the above, or 5");
  EXPECT_THAT(moon.answers, ElementsAre("B"));
}

TEST(Mmlu, TakesTheValidationFilesWhereNoTestIs) {
  const Dataset dataset = load_dataset("mmlu_humanities", records_dir() / "mmlu");
  ASSERT_EQ(dataset.samples.size(), 1u);
  EXPECT_EQ(dataset.samples[0].id, "philosophy_val.csv:1");
  EXPECT_THAT(refusal_of("mmlu_social_science", "mmlu"), HasSubstr("is no folder with files of"));
}

TEST(Mmlu, NeedsSixCellsALetterAndExamples) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& row) {
    write(folder.path(), "test/astronomy_test.csv", "q,a,b,c,d,A\n" + row);
    return refusal([&] { load_dataset("mmlu_stem", folder.path()); });
  };
  EXPECT_THAT(refused(""), HasSubstr("dev/astronomy_dev.csv' holds no solved examples"));
  write(folder.path(), "dev/astronomy_dev.csv", "q,a,b,c,d,A\n");
  EXPECT_EQ(refused(""), "not refused");
  EXPECT_EQ(refused("q,a,b,c,A\n"),
            "astronomy_test.csv:2 has 5 cells, six are needed: question, four choices, letter.");
  EXPECT_EQ(refused("q,a,b,c,d,E\n"),
            "astronomy_test.csv:2: the answer is 'E', one of A, B, C, D is needed.");
  EXPECT_EQ(refused(" ,a,b,c,d,A\n"),
            "astronomy_test.csv:2: its question is empty: correct the record or take it out.");
}

// ---- broken ones

// Loads or refuses a file; anything else fails the test.
void expect_answered(const std::string& dataset, const fs::path& path) {
  try {
    load_dataset(dataset, path);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kUsage) << error.what();
  }
}

TEST(Forms, CutOrFlippedAnywhereAreReadOrRefused) {
  const TemporaryFolder folder;
  std::mt19937 random(1);
  for (const auto& [dataset, file] :
       std::map<std::string, std::string>{{"hotpotqa", "hotpot_own.json"},
                                          {"hotpotqa_full", "hotpot_hub.jsonl"},
                                          {"musique", "musique.jsonl"},
                                          {"qasper", "qasper_scrolls.jsonl"},
                                          {"twowikimqa", "longbench_2wikimqa.jsonl"},
                                          {"repobench", "repobench_v1.1.jsonl"},
                                          {"samsum", "samsum.csv"},
                                          {"mmlu_stem", "mmlu/test/astronomy_test.csv"}}) {
    const std::string whole = read_file(records_dir() / file);
    const bool mmlu = dataset == "mmlu_stem";
    if (mmlu) copy_records(folder.path(), "mmlu/dev", "dev");
    for (int round = 0; round < 90; ++round) {
      std::string broken = whole;
      if (round % 3 == 0) broken.resize(random() % whole.size());
      for (int flips = round % 4; flips > 0 && !broken.empty(); --flips) {
        broken[random() % broken.size()] ^= static_cast<char>(1 << random() % 8);
      }
      const fs::path path =
          write(folder.path(), mmlu ? "test/astronomy_test.csv" : "broken", broken);
      expect_answered(dataset, mmlu ? folder.path() : path);
    }
  }
}

TEST(Forms, OfFiftyMegabytesInOneLineAreReadOrRefused) {
  const TemporaryFolder folder;
  const std::string text(50'000'000, 'x');
  const std::string record = R"({"dialogue": ")" + text + R"(\nb", "summary": "s"})";
  const auto load = [&](const std::string& content) {
    return load_dataset("samsum", write(folder.path(), "s", content)).samples.at(0);
  };
  EXPECT_EQ(load(record).contexts[0].size(), text.size());
  EXPECT_EQ(load("[" + record + "]").question, "b");
  EXPECT_EQ(load("dialogue,summary\n\"" + text + "\n\nb\",s").contexts[0].size(), text.size());
  EXPECT_THAT(refusal([&] { load("[" + text); }), HasSubstr("/s:1 is cut off or no JSON:"));
  EXPECT_THAT(refusal([&] { load("dialogue,summary\n\"" + text); }), HasSubstr("s:2 is cut off"));
}

// ---- the real ones

TEST(RealRecords, OfEveryShapeLoad) {
  KVCOMM_NEEDS_SHARED();
  const auto count = [](const std::string& name, const std::string& file) {
    const Dataset dataset = load_dataset(name, shared_dir() / "data/real" / file);
    EXPECT_THAT(dataset.warning, HasSubstr("' has ")) << name;
    return dataset.samples.size();
  };
  EXPECT_EQ(count("hotpotqa", "hotpot_dev_distractor_v1.json"), 40u);
  EXPECT_EQ(count("hotpotqa", "hotpotqa_hf_shape.json"), 10u);
  EXPECT_EQ(count("musique", "musique_ans_dev.jsonl"), 11u);
  EXPECT_EQ(count("qasper", "qasper_scrolls_shape.jsonl"), 4u);
  EXPECT_EQ(count("twowikimqa", "longbench_2wikimqa.jsonl"), 6u);
  EXPECT_EQ(count("twowikimqa", "longbench_hub_style_2wikimqa.jsonl"), 3u);
  EXPECT_EQ(count("multifieldqa_en", "longbench_multifieldqa_en.jsonl"), 3u);
  EXPECT_EQ(count("longbench_hotpotqa", "longbench_hotpotqa.jsonl"), 4u);
  EXPECT_EQ(count("longbench_musique", "longbench_musique.jsonl"), 3u);
  EXPECT_EQ(count("longbench_qasper", "longbench_qasper.jsonl"), 4u);
  EXPECT_EQ(count("longbench_repobench-p", "longbench_repobench-p.jsonl"), 4u);
}

TEST(RealRecords, OfHotpotQaReadAsItsReleaseReadsThem) {
  KVCOMM_NEEDS_SHARED();
  const Dataset own =
      load_dataset("hotpotqa_full", shared_dir() / "data/real/hotpot_dev_distractor_v1.json");
  EXPECT_EQ(own.samples[0].id, "5a8b57f25542995d1e6f1371");
  EXPECT_EQ(own.samples[0].contexts[0],
            "Scott Derrickson (born July 16, 1966) is an American director, screenwriter and "
            "producer.\nEdward Davis Wood Jr. (October 10, 1924 – December 10, 1978) was an "
            "American filmmaker, actor, writer, producer, and director.");
}

TEST(RealRecords, OfTmathAreWholeAndShuffledAsNumpyDoes) {
  KVCOMM_NEEDS_SHARED();
  const TemporaryFolder folder;
  const std::string archive = (shared_dir() / "data/tmath.tar.xz").string();
  const std::string command = "tar -xJf '" + archive + "' -C '" + folder.path().string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  const Dataset tmath = load_dataset("tmath", find_dataset("tmath", "", folder.path()));
  EXPECT_EQ(tmath.warning, "");
  ASSERT_EQ(tmath.samples.size(), 300u);
  EXPECT_EQ(tmath.samples[0].id, "hint_number_theory/hint_1001.json");
  EXPECT_EQ(tmath.samples[299].id, "hint_algebra/hint_262.json");
}

}  // namespace
}  // namespace kvcomm::testing
