// Contexts of several senders: a sample's texts in as many runs, floor first.
#include "data/deal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "data/shuffle.h"
#include "tests/data/data_fixture.h"
#include "tests/support/paths.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Texts = std::vector<std::string>;

Sample sample_of(Texts texts) {
  return {.id = "s", .contexts = std::move(texts), .question = "?", .answers = {"a"}};
}

// The contexts of so many senders; none where the sample cannot be dealt.
Texts dealt(Texts texts, size_t senders, Dealt how) {
  Sample sample = sample_of(std::move(texts));
  return deal(sample, senders, how) ? sample.contexts : Texts{};
}

TEST(Deal, RunsOfTextsAreRoundedDownFirst) {
  const Texts five{"a", "b", "c", "d", "e"};
  EXPECT_THAT(dealt(five, 1, Dealt::kTexts), ElementsAre("a\nb\nc\nd\ne"));
  EXPECT_THAT(dealt(five, 2, Dealt::kTexts), ElementsAre("a\nb", "c\nd\ne"));
  EXPECT_THAT(dealt(five, 3, Dealt::kTexts), ElementsAre("a", "b\nc", "d\ne"));
  EXPECT_THAT(dealt({"a"}, 2, Dealt::kTexts), ElementsAre());
}

TEST(Deal, OneAgentReadsTheWhole) {
  Sample sample = sample_of({"a", "b"});
  ASSERT_TRUE(deal(sample, 2, Dealt::kTexts));
  EXPECT_EQ(sample.context(), "a\nb");
  Sample single = sample_of({"a", "b"});
  ASSERT_TRUE(deal(single, 1, Dealt::kTexts));
  EXPECT_EQ(single.context(), "a\nb");
  EXPECT_EQ(single.whole, "");
}

TEST(Deal, SentencesKeepTheirFullStops) {
  const std::string facts = "The hat is here. It costs 3.50 dollars. It rains.";
  EXPECT_THAT(dealt({facts}, 2, Dealt::kSentences),
              ElementsAre("The hat is here.", "It costs 3.50 dollars. It rains."));
  EXPECT_THAT(dealt({"One fact."}, 2, Dealt::kSentences), ElementsAre());
  EXPECT_THAT(dealt({facts}, 1, Dealt::kSentences), ElementsAre(facts));
}

// official_behaviour.md, 13: the head is repeated; what looks like a passage's name cuts too.
TEST(Deal, PassagesKeepTheirHead) {
  const std::string text = "Read:\n\nPassage 1:\nA\nPassage 2:\nB, see Passage\n 9: there\n";
  EXPECT_THAT(
      dealt({text}, 2, Dealt::kPassages),
      ElementsAre("Read:\n\nPassage 1:\nA\n", "Read:\n\nPassage 2:\nB, see Passage\n 9: there\n"));
  EXPECT_THAT(dealt({text}, 3, Dealt::kPassages),
              ElementsAre("Read:\n\nPassage 1:\nA\n", "Read:\n\nPassage 2:\nB, see ",
                          "Read:\n\nPassage\n 9: there\n"));
  EXPECT_THAT(dealt({"Head. Passage 1: alone"}, 2, Dealt::kPassages),
              ElementsAre("Head. ", "Head. Passage 1: alone"));
  EXPECT_THAT(dealt({"Passage: Passage x: Passages 1:"}, 2, Dealt::kPassages), ElementsAre());
}

// A record of musique's form with so many supporting paragraphs, one of which it is not.
std::string musique(int id, int supporting) {
  std::string paragraphs;
  for (int i = 0; i <= supporting; ++i) {
    paragraphs += fmt::format(R"({}{{"paragraph_text": "p{}.{}", "is_supporting": {}}})",
                              i == 0 ? "" : ", ", id, i, i < supporting);
  }
  return fmt::format(
      R"({{"id": "m{}", "paragraphs": [{}], "question": "q", "answer": "a", "answer_aliases": [], )"
      R"("answerable": true}})"
      "\n",
      id, paragraphs);
}

TEST(Deal, WhatCannotBeDealtIsLeftOutBehindTheShuffle) {
  const TemporaryFolder folder;
  std::string lines;
  constexpr int kRecords = 620;
  const auto supporting = [](int id) { return id % 10 == 0 ? 1 : 2 + id % 2; };
  for (int id = 0; id < kRecords; ++id) lines += musique(id, supporting(id));
  const auto file = write(folder.path(), "musique.jsonl", lines);
  const Dataset dataset = load_dataset("musique", file, 2);
  Texts expected;
  for (const uint32_t place : numpy_permutation(42, kRecords)) {
    if (supporting(static_cast<int>(place)) > 1) expected.push_back(fmt::format("m{}", place));
  }
  ASSERT_EQ(dataset.samples.size(), 500u);
  for (size_t i = 0; i < expected.size(); ++i) {
    const Sample& sample = dataset.at(i);
    EXPECT_EQ(sample.id, expected[i]);
    EXPECT_EQ(sample.index, i);
    ASSERT_EQ(sample.contexts.size(), 2u);
    EXPECT_THAT(sample.contexts[0], HasSubstr(".0"));
    EXPECT_EQ(sample.contexts[0].find('\n'), std::string::npos);
  }
  EXPECT_EQ(dataset.samples.size() + dataset.rest.size(), expected.size());
  // A place holds another sample than it does for one sender.
  const Dataset one = load_dataset("musique", file);
  EXPECT_NE(one.fingerprint, dataset.fingerprint);
  EXPECT_EQ(one.samples.size(), 500u);
  EXPECT_EQ(one.rest.size(), 120u);
}

TEST(Deal, ADataSetOfOneTextIsRefused) {
  EXPECT_THAT(
      refusal([] { require_dealt("countries", 2); }),
      ::testing::AllOf(HasSubstr("'countries'"), HasSubstr("2 senders"), HasSubstr("hotpotqa")));
  EXPECT_NO_THROW(require_dealt("countries", 1));
  EXPECT_NO_THROW(require_dealt("twowikimqa", 3));
}

TEST(Deal, OnesOwnRecordsNeedATextForEachSender) {
  const TemporaryFolder folder;
  const auto file = write(folder.path(), "own.jsonl",
                          R"({"facts": ["x", "y", "z"], "q": "?", "a": "b"})"
                          "\n"
                          R"({"facts": ["x"], "q": "?", "a": "b"})"
                          "\n");
  const OwnFields fields{.context = {"facts"}, .question = "q", .answers = "a"};
  EXPECT_EQ(load_own_dataset({.name = "own"}, fields, file).samples[0].contexts, Texts{"x\ny\nz"});
  EXPECT_THAT(
      refusal([&] { load_own_dataset({.name = "own"}, fields, file, 2); }),
      ::testing::AllOf(HasSubstr("own.jsonl:2"), HasSubstr("1 context,"), HasSubstr("2 senders")));
}

TEST(Mix, IsAllOfTheFirstThenTheNextOrBothShuffled) {
  const auto part = [](const char* name, int count) {
    Dataset dataset{.info = dataset_info(name), .path = name, .fingerprint = name};
    for (int i = 0; i < count; ++i) {
      dataset.samples.push_back(sample_of({fmt::format("{} {}", name, i)}));
    }
    return dataset;
  };
  DatasetInfo info = dataset_info("countries+tipsheets");
  EXPECT_THAT(parts_of_mix(info.name), ElementsAre("countries", "tipsheets"));
  EXPECT_EQ(info.max_new_tokens, 10);
  const Dataset plain = mix(info, {part("countries", 3), part("tipsheets", 2)});
  Texts contexts;
  for (const Sample& sample : plain.samples) contexts.push_back(sample.context());
  EXPECT_THAT(contexts, ElementsAre("countries 0", "countries 1", "countries 2", "tipsheets 0",
                                    "tipsheets 1"));
  EXPECT_EQ(plain.samples[2].dataset, "countries");
  EXPECT_EQ(plain.samples[3].dataset, "tipsheets");
  info.sampled = info.records;
  const Dataset shuffled = mix(info, {part("countries", 3), part("tipsheets", 2)});
  const std::vector<uint32_t> order = numpy_permutation(42, 5);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(shuffled.samples[i].context(), contexts[order[i]]);
    EXPECT_EQ(shuffled.samples[i].index, i);
  }
  EXPECT_NE(shuffled.fingerprint, plain.fingerprint);
}

}  // namespace
}  // namespace kvcomm::testing
