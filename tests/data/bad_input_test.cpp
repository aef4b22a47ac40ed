// What a broken data file is answered with: where, what and the cure.
#include <gtest/gtest.h>

#include "data/dataset.h"
#include "tests/data/data_fixture.h"

namespace kvcomm {
namespace {

constexpr std::string_view kGood =
    R"({"id": "d1", "context": "c", "question": "q", "answers": ["x"]})"
    "\n";

// The sentence that loading this content as a file of the data set ends with, without the folder.
std::string refusal(const std::string& content, const std::string& file = "demo.jsonl",
                    const std::string& dataset = "demo") {
  const testing::TemporaryFolder folder;
  const auto path = testing::write(folder.path(), file, content);
  const std::string sentence = testing::refusal([&] { load_dataset(dataset, path); });
  const std::string prefix = folder.path().string() + "/";
  return sentence.starts_with(prefix) ? sentence.substr(prefix.size()) : sentence;
}

std::string after_good(const std::string& content) { return refusal(std::string(kGood) + content); }

// An array that begins with a good record and goes on with this.
std::string in_array(const std::string& content) {
  return refusal("[" + std::string(kGood).substr(0, kGood.size() - 1) + content, "demo.json");
}

TEST(BadRecord, WithoutAFieldNamesItsKeys) {
  EXPECT_EQ(after_good(R"({"id": "d2", "context": "c", "answers": ["x"]})"),
            "demo.jsonl:2 has no 'question'; its keys are answers, context, id.");
  EXPECT_EQ(after_good("{}"), "demo.jsonl:2 has no 'context'; its keys are none.");
}

TEST(BadRecord, OfTheWrongTypeOrBlank) {
  EXPECT_EQ(after_good(R"({"context": 5, "question": "q", "answers": ["x"]})"),
            "demo.jsonl:2: 'context' is number, a text is needed.");
  EXPECT_EQ(after_good(R"({"context": " \n", "question": "q", "answers": ["x"]})"),
            "demo.jsonl:2: 'context' is empty: correct the record or take it out.");
  EXPECT_EQ(after_good(R"({"context": "c", "question": "", "answers": ["x"]})"),
            "demo.jsonl:2: 'question' is empty: correct the record or take it out.");
  EXPECT_EQ(after_good(R"({"context": "c", "question": "q", "answers": "x"})"),
            "demo.jsonl:2: 'answers' is string, an array of at least one text is needed.");
  EXPECT_EQ(after_good(R"({"context": "c", "question": "q", "answers": []})"),
            "demo.jsonl:2: 'answers' is empty, an array of at least one text is needed.");
  EXPECT_EQ(after_good(R"({"context": "c", "question": "q", "answers": [null]})"),
            "demo.jsonl:2: 'answers' is null, a text is needed.");
  EXPECT_EQ(after_good(R"({"id": 1.5, "context": "c", "question": "q", "answers": ["x"]})"),
            "demo.jsonl:2: 'id' is number, a text is needed.");
  EXPECT_EQ(after_good("[1]"), "demo.jsonl:2 is array, a record {\"name\": value, ...} is needed.");
}

TEST(BadRecord, ThatRepeatsAnId) {
  EXPECT_EQ(after_good("\n" + std::string(kGood)),
            "demo.jsonl:3 has the id 'd1' of demo.jsonl:1: an id stands for one sample.");
}

TEST(BadFile, CutOffOrNoJson) {
  EXPECT_EQ(after_good(R"({"context": "c)"),
            "demo.jsonl:2 is cut off or no JSON: what stands at byte 15 of the line is its end.");
  EXPECT_EQ(after_good("{} x"),
            "demo.jsonl:2 is cut off or no JSON: what stands at byte 4 of the line does not belong "
            "there.");
  EXPECT_EQ(in_array(",\n {\"a\": 1 \"b\"}]"),
            "demo.json:2 is cut off or no JSON: what stands at byte 12 of the line does not belong "
            "there.");
  EXPECT_EQ(after_good(R"({"context": "\ud800", "question": "q", "answers": ["x"]})").substr(0, 37),
            "demo.jsonl:2 is cut off or no JSON: w");
  EXPECT_EQ(after_good(R"({"context": 1e999})"),
            "demo.jsonl: a number on line 2 or behind it is beyond a double's range.");
}

TEST(BadFile, WithAValueThatJsonDoesNotHave) {
  const auto with = [](const std::string& value) {
    return after_good(R"({"context": "c", "x": )" + value + R"(, "question": "NaN"})");
  };
  for (const char* value : {"NaN", "nan", "Infinity", "-Infinity", "-inf", "None", "undefined"}) {
    EXPECT_EQ(with(value),
              fmt::format("demo.jsonl:2 holds {}, which is no JSON: write null or leave "
                          "the field out.",
                          value));
    EXPECT_EQ(with(fmt::format("[1, {}]", value)), with(value));
  }
  EXPECT_EQ(with("True"), "demo.jsonl:2 holds True, which is no JSON: write true.");
  EXPECT_EQ(in_array(",\n{\"a\": \"NaN\",\n\"b\":NaN}]"),
            "demo.json:3 holds NaN, which is no JSON: write null or leave the field out.");
  EXPECT_EQ(after_good(R"({"context": null, "question": "q", "answers": ["x"]})"),
            "demo.jsonl:2: 'context' is null, a text is needed.");
  for (const char* broken : {R"("C:\inf")", "\"none\t\"", "Nancy", "\"nan"}) {
    EXPECT_NE(with(broken).find("cut off or no JSON"), std::string::npos) << with(broken);
  }
}

TEST(BadFile, IsNamedWithItsFolder) {
  const testing::TemporaryFolder folder;
  for (const auto& [file, dataset] :
       {std::pair{"demo.jsonl", "demo"}, {"demo.json", "demo"}, {"samsum.csv", "samsum"}}) {
    const bool csv = std::string_view(file).ends_with("csv");
    const auto path =
        testing::write(folder.path(), file, csv ? "id,dialogue,summary\n1,\"a" : "[{");
    const std::string sentence = testing::refusal([&] { load_dataset(dataset, path); });
    EXPECT_EQ(sentence.find(path.string() + ":"), 0u) << sentence;
  }
}

TEST(BadFile, WithOtherMarksThanCommas) {
  const std::string cure =
      " between its names; JSON, or CSV with commas, is needed: write the file anew.";
  EXPECT_EQ(refusal("id;question\n1;Q\n", "demo.csv"), "demo.csv:1 has semicolons" + cure);
  EXPECT_EQ(refusal("id\tquestion\n1\tQ; R\n", "demo.tsv"), "demo.tsv:1 has tabs" + cure);
}

TEST(BadFile, ArrayCutOffOrBroken) {
  const std::string at = "demo.json:1 is cut off or no JSON: what stands at byte ";
  EXPECT_EQ(in_array(""), at + "65 of the line is its end.");
  EXPECT_EQ(in_array(", "), at + "67 of the line is its end.");
  EXPECT_EQ(in_array(", {\"a\""), at + "71 of the line is its end.");
  EXPECT_EQ(in_array(", ]"), at + "67 of the line does not belong there.");
  EXPECT_EQ(in_array("}"), at + "65 of the line does not belong there.");
  EXPECT_EQ(in_array(" {}]"), at + "66 of the line does not belong there.");
  EXPECT_EQ(in_array("] {}"), at + "67 of the line does not belong there.");
  EXPECT_EQ(in_array(", {\"a\": \"]}\\\"\", \"b\": x}]"),
            at + "86 of the line does not belong there.");
  EXPECT_EQ(in_array(", {}]"), "demo.json[1] has no 'context'; its keys are none.");
  EXPECT_EQ(in_array(", 5]"), "demo.json[1] is number, a record {\"name\": value, ...} is needed.");
}

TEST(BadFile, CsvCutOffOrBroken) {
  const std::string good = "id,dialogue,summary\n1,a: b,c\n";
  const auto csv = [&](const std::string& rest) {
    return refusal(good + rest, "samsum.csv", "samsum");
  };
  EXPECT_EQ(csv("2,\"a\n\"\"b"),
            "samsum.csv:3 is cut off: a quote opens there that nothing closes.");
  EXPECT_EQ(csv("2,\"a\nb\"c,d\n"),
            "samsum.csv:4: text goes on behind a closing quote: double the quotes in a cell.");
  EXPECT_EQ(csv("2,a\n"),
            "samsum.csv:3 has 2 cells, its file's first line names 3 columns: id, dialogue, "
            "summary.");
  EXPECT_EQ(csv("2,\"a\nb\",c\r\n3, ,d"),
            "samsum.csv:5: 'dialogue' is empty: correct the record or take it out.");
  EXPECT_EQ(csv("2,\xFF,c\n"),
            "samsum.csv:3 is no UTF-8 in its column 2: convert the file to UTF-8.");
  EXPECT_EQ(refusal("id,text\n1,b\n", "samsum.csv", "samsum"),
            "samsum.csv:2 has no 'dialogue'; its keys are id, text.");
}

TEST(BadFile, ThatIsParquetNamesTheCure) {
  EXPECT_NE(refusal("PAR1,x").find("is a Parquet file, JSON or CSV is needed"), std::string::npos);
}

TEST(BadRecord, OfHotpotQa) {
  const auto hotpot = [](const std::string& fields) {
    return refusal("[{\"_id\": \"x\", \"question\": \"q\", \"answer\": \"a\", " + fields + "}]",
                   "h.json", "hotpotqa");
  };
  EXPECT_EQ(hotpot(R"("supporting_facts": [["T", 3]], "context": [["T", ["s"]]])"),
            "h.json[0]: its context, made of the sentences that supporting_facts names, is empty: "
            "correct the record or take it out.");
  EXPECT_EQ(
      hotpot(R"("supporting_facts": [["T", "3"]], "context": [["T", ["s"]]])"),
      "h.json[0]: 'supporting_facts' is [[\"T\",\"3\"]], which its form does not have there.");
  EXPECT_EQ(hotpot(R"("supporting_facts": [["T", 0.5]], "context": [["T", ["s"]]])"),
            "h.json[0]: 'supporting_facts' is [[\"T\",0.5]], which its form does not have there.");
  EXPECT_EQ(
      hotpot(
          R"("supporting_facts": {"title": ["T"]}, "context": {"title": ["T"], "sentences": [["s"]]})"),
      "h.json[0]: 'supporting_facts' has no 'sent_id'.");
  EXPECT_EQ(
      hotpot(
          R"("supporting_facts": {"title": ["T"], "sent_id": [0, 1]}, "context": {"title": ["T"], "sentences": [["s"]]})"),
      "h.json[0]: 'supporting_facts.title' has 1 entries, 'supporting_facts.sent_id' has 2: "
      "they go together.");
  EXPECT_EQ(hotpot(R"("context": [["T", ["s"]]])"),
            "h.json[0] has no 'supporting_facts'; its keys are _id, answer, context, question.");
}

TEST(BadRecord, OfMusiqueOrQasper) {
  const auto musique = [](const std::string& fields) {
    return refusal("{\"id\": \"x\", \"question\": \"q\", \"answer\": \"a\", " + fields + "}\n",
                   "m.jsonl", "musique");
  };
  EXPECT_EQ(
      musique(R"("paragraphs": [], "answer_aliases": [], "answerable": true)"),
      "m.jsonl:1: its context, made of supporting paragraphs, is empty: correct the record or "
      "take it out.");
  EXPECT_EQ(
      musique(
          R"("paragraphs": [{"is_supporting": false}, {"is_supporting": true}], "answer_aliases": [], "answerable": true)"),
      "m.jsonl:1, paragraphs[1] has no 'paragraph_text'; its keys are is_supporting.");
  EXPECT_EQ(musique(R"("paragraphs": [], "answer_aliases": [], "answerable": "yes")"),
            "m.jsonl:1: 'answerable' is \"yes\", which its form does not have there.");
  EXPECT_EQ(refusal(R"({"id": "x", "input": "q?", "output": "a"})", "q.jsonl", "qasper"),
            "q.jsonl:1: 'input' has no blank line between the question and the text.");
  EXPECT_EQ(
      refusal(R"({"id": "x", "input": "q?\n\n ", "output": "a"})", "q.jsonl", "qasper"),
      "q.jsonl:1: its context, made of what follows the first blank line of 'input', is empty: "
      "correct the record or take it out.");
  EXPECT_EQ(refusal(R"({"id": "x", "input": "\n\ntext", "output": "a"})", "q.jsonl", "qasper"),
            "q.jsonl:1: 'input' has no question before its first blank line.");
}

TEST(BadFile, NoUtf8) {
  for (const char* bytes : {"\xFF", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                            "\xE0\x80\x80", "\xF0\x80\x80\x80", "\x80"}) {
    EXPECT_EQ(after_good(std::string("{\"context\": \"\u00E9") + bytes + "\"}"),
              "demo.jsonl:2 is no UTF-8 at byte 16 of the line: convert the file to UTF-8.");
  }
  EXPECT_EQ(in_array(",\n\"\xFF\"]"),
            "demo.json:2 is no UTF-8 at byte 2 of the line: convert the file to UTF-8.");
}

TEST(BadFile, ThatBreaksOffWhileItIsRead) {
  const testing::TemporaryFolder data;
  for (const char* name : {"countries.jsonl", "countries.csv"}) {
    const std::filesystem::path file = data.path() / name;
    std::filesystem::create_symlink("/proc/self/mem", file);  // nothing is mapped at its start
    EXPECT_EQ(testing::refusal([&] { load_dataset("countries", file); }),
              "Reading '" + file.string() + "' broke off: Input/output error.");
  }
}

TEST(BadFile, WithoutRecords) {
  EXPECT_NE(refusal("").find("holds no records"), std::string::npos);
  EXPECT_NE(refusal("\n \n").find("holds no records"), std::string::npos);
  EXPECT_NE(refusal("[]").find("holds no records"), std::string::npos);
}

TEST(BadFile, DeeplyNestedDoesNotOverflowTheStack) {
  const std::string deep(1'000'000, '[');
  EXPECT_EQ(after_good(R"({"context": )" + deep),
            "demo.jsonl:2 nests deeper than 100 levels at byte 112 of the line.");
  EXPECT_EQ(refusal(deep), "demo.jsonl:1 nests deeper than 100 levels at byte 102 of the line.");
  EXPECT_EQ(after_good(R"({"context": ")" + deep + R"(\"[", "question": "q", "answers": ["x"]})"),
            "not refused");
}

TEST(BadFile, ThatIsAFolderOrAbsent) {
  const testing::TemporaryFolder folder;
  const auto refusal_of = [](const std::filesystem::path& file) -> std::string {
    try {
      load_dataset("demo", file);
    } catch (const Error& error) {
      return error.what();
    }
    return "not refused";
  };
  const std::string path = folder.path().string();
  EXPECT_EQ(refusal_of(path), "Cannot read '" + path + "': it is a folder, a file is needed.");
  EXPECT_EQ(refusal_of(path + "/absent.jsonl"),
            "Cannot read '" + path + "/absent.jsonl': No such file or directory.");
}

}  // namespace
}  // namespace kvcomm
