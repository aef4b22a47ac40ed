// Data of one's own: which fields become what, in which order, and what is refused.
#include <gtest/gtest.h>

#include <limits>

#include "base/hash.h"
#include "data/dataset.h"
#include "data/shuffle.h"
#include "tests/data/data_fixture.h"

namespace kvcomm {
namespace {

using Texts = std::vector<std::string>;

const DatasetInfo kInfo{.name = "mine", .kind = "qa", .metric = "f1", .max_new_tokens = 8};
const OwnFields kFields{.context = {"text"}, .question = "q", .answers = "a"};

Dataset load(const std::string& content, const OwnFields& fields = kFields,
             const DatasetInfo& info = kInfo, const std::string& file = "mine.jsonl") {
  const testing::TemporaryFolder folder;
  return load_own_dataset(info, fields, testing::write(folder.path(), file, content));
}

std::string refusal(const std::string& content, const OwnFields& fields = kFields) {
  return testing::refusal([&] { load(content, fields); });
}

TEST(OwnData, TakeTheFieldsThatAreNamed) {
  const std::string content =
      "{\"text\": \" Anna is in Rome.\", \"q\": \"Where?\", \"a\": \"Rome\", \"more\": null}\n\n"
      "{\"text\": \"T\", \"q\": \"Q\", \"a\": [\"Rome\", \"Roma\"]}\n";
  const Dataset dataset = load(content);
  EXPECT_EQ(dataset.info.name, "mine");
  EXPECT_EQ(dataset.fingerprint, hash128_hex(content));
  EXPECT_EQ(dataset.warning, "");
  ASSERT_EQ(dataset.samples.size(), 2u);
  const Sample& first = dataset.samples[0];
  EXPECT_EQ(first.id, "mine.jsonl:1");
  EXPECT_EQ(first.contexts, Texts{" Anna is in Rome."});
  EXPECT_EQ(first.question, "Where?");
  EXPECT_EQ(first.answers, Texts{"Rome"});
  EXPECT_EQ(dataset.samples[1].index, 1u);
  EXPECT_EQ(dataset.samples[1].id, "mine.jsonl:3");
  EXPECT_EQ(dataset.samples[1].answers, (Texts{"Rome", "Roma"}));
}

TEST(OwnData, MayBeAnArrayOrCsv) {
  const Dataset array = load(R"([{"text": "T", "q": "Q", "a": "A"}])", kFields, kInfo, "m.json");
  EXPECT_EQ(array.samples[0].id, "m.json[0]");
  EXPECT_EQ(array.samples[0].answers, Texts{"A"});
  const Dataset csv = load("a,q,text\nnan,\"Why, then?\",T\n", kFields, kInfo, "m.csv");
  EXPECT_EQ(csv.samples[0].id, "m.csv:2");
  EXPECT_EQ(csv.samples[0].question, "Why, then?");
  EXPECT_EQ(csv.samples[0].answers, Texts{"nan"});
}

TEST(OwnData, MayBeNested) {
  const OwnFields nested{
      .context = {"doc.text"}, .question = "meta.ask.q", .answers = "a.text", .id = "meta.id"};
  const std::string record =
      R"({"doc": {"text": "T"}, "meta": {"ask": {"q": "Q"}, "id": 7}, "a": {"text": ["A", "B"]}})";
  const Sample sample = load(record, nested).samples[0];
  EXPECT_EQ(sample.id, "7");
  EXPECT_EQ(sample.contexts, Texts{"T"});
  EXPECT_EQ(sample.question, "Q");
  EXPECT_EQ(sample.answers, (Texts{"A", "B"}));
  // A name with a dot, as pandas flattens tables, goes before what it leads to.
  const OwnFields dotted{.context = {"text"}, .question = "meta.q", .answers = "a"};
  EXPECT_EQ(load("text,meta.q,a\nT,Q,A\n", dotted, kInfo, "m.csv").samples[0].question, "Q");
  EXPECT_EQ(load(R"({"text": "T", "meta.q": "Q", "meta": {"q": "other"}, "a": "A"})", dotted)
                .samples[0]
                .question,
            "Q");
  const OwnFields both{.context = {"x.y.z"}, .question = "x.y.z", .answers = "x.y.z"};
  EXPECT_EQ(load(R"({"x": {"y.z": "V", "y": {"z": "W"}}})", both).samples[0].question, "V");
  EXPECT_EQ(load(R"({"x.y": {"z": "U"}})", both).samples[0].question, "U");
}

TEST(OwnData, MayHaveSeveralContexts) {
  const std::string record = R"({"docs": ["one", "two"], "more": "three", "q": "Q", "a": "A"})";
  const auto context = [&](const Texts& names) {
    return load(record, {.context = names, .question = "q", .answers = "a"}).samples[0].contexts;
  };
  EXPECT_EQ(context({"docs"}), Texts{"one\ntwo"});
  EXPECT_EQ(context({"more", "docs"}), Texts{"three\none\ntwo"});
}

TEST(OwnData, MayHaveWholeNumbersAsAnswers) {
  EXPECT_EQ(load(R"({"text": "T", "q": "Q", "a": 42})").samples[0].answers, Texts{"42"});
  EXPECT_EQ(load(R"({"text": "T", "q": "Q", "a": [-1, "minus one"]})").samples[0].answers,
            (Texts{"-1", "minus one"}));
  for (const auto& [value, shown] :
       std::vector<std::pair<std::string, std::string>>{{"3.5", "3.5"},
                                                        {"true", "true"},
                                                        {"null", "null"},
                                                        {"{}", "object"},
                                                        {"[[1]]", "array"}}) {
    EXPECT_EQ(
        refusal("{\"text\": \"T\", \"q\": \"Q\", \"a\": " + value + "}"),
        "mine.jsonl:1: 'a' is " + shown + ", a text, a whole number or a list of these is needed.");
  }
}

TEST(OwnData, AreShuffledAsNumpyDoes) {
  std::string content;
  for (int i = 0; i < 50; ++i) {
    content += fmt::format("{{\"text\": \"T\", \"q\": \"Q\", \"a\": \"{}\", \"id\": {}}}\n", i, i);
  }
  DatasetInfo shuffled = kInfo;
  shuffled.sampled = std::numeric_limits<size_t>::max();
  const OwnFields fields{.context = {"text"}, .question = "q", .answers = "a", .id = "id"};
  const std::vector<uint32_t> order = numpy_permutation(42, 50);
  const Dataset dataset = load(content, fields, shuffled);
  ASSERT_EQ(dataset.samples.size(), 50u);
  for (size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(dataset.samples[i].id, std::to_string(order[i]));
    EXPECT_EQ(dataset.samples[i].index, i);
  }
}

TEST(OwnData, WithoutAFieldAreRefusedWithTheNearMiss) {
  EXPECT_EQ(
      refusal(R"({"text": "T", "question": "Q", "a": "A"})",
              {.context = {"text"}, .question = "questoin", .answers = "a"}),
      "mine.jsonl:1 has no 'questoin', the question of [[dataset]] 'mine': set question there "
      "to one of its fields, a, question, text. Did you mean 'question'?");
  EXPECT_EQ(refusal(R"({"meta": {"q": "Q", "x": {"y": 1}}, "a": "A", "text": "T"})",
                    {.context = {"text"}, .question = "meta.qq", .answers = "a"}),
            "mine.jsonl:1 has no 'meta.qq', the question of [[dataset]] 'mine': set question there "
            "to one of its fields, a, meta.q, meta.x.y, text. Did you mean 'meta.q'?");
  EXPECT_EQ(refusal(R"({"meta": 5, "a": "A", "text": "T"})",
                    {.context = {"text"}, .question = "meta.q", .answers = "a"}),
            "mine.jsonl:1 has no 'meta.q', the question of [[dataset]] 'mine': set question there "
            "to one of its fields, a, meta, text. Did you mean 'meta'?");
  const std::string good = "{\"text\": \"T\", \"q\": \"Q\", \"a\": \"A\"}\n";
  EXPECT_TRUE(refusal(good + "{}").starts_with("mine.jsonl:2 has no 'text', the context of"));
}

TEST(OwnData, OfTheWrongTypeBlankOrTwiceAreRefused) {
  const auto with = [](const std::string& text, const std::string& q) {
    return refusal("{\"text\": " + text + ", \"q\": " + q + ", \"a\": \"A\"}");
  };
  EXPECT_EQ(with("5", "\"Q\""), "mine.jsonl:1: 'text' is number, a text is needed.");
  EXPECT_EQ(with("[]", "\"Q\""),
            "mine.jsonl:1: 'text' is empty, a text or a list of texts is needed.");
  EXPECT_EQ(with("[\"T\", {}]", "\"Q\""), "mine.jsonl:1: 'text' is object, a text is needed.");
  EXPECT_EQ(with("\"T\"", "[\"Q\"]"), "mine.jsonl:1: 'q' is array, a text is needed.");
  EXPECT_EQ(with("\"T\"", "\" \""),
            "mine.jsonl:1: 'q' is empty: correct the record or take it out.");
  EXPECT_EQ(with("\"T\"", "null"), "mine.jsonl:1: 'q' is null, a text is needed.");
  const std::string twice = "{\"id\": 1, \"text\": \"T\", \"q\": \"Q\", \"a\": \"A\"}\n";
  OwnFields with_id = kFields;
  with_id.id = "id";
  EXPECT_EQ(refusal(twice + twice, with_id),
            "mine.jsonl:2 has the id '1' of mine.jsonl:1: an id stands for one sample.");
  EXPECT_TRUE(refusal("\n").ends_with("holds no records: the data set 'mine' needs at least one."));
}

}  // namespace
}  // namespace kvcomm
