// What a broken data file is answered with: where, what and the cure.
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "data/dataset.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

constexpr std::string_view kGood =
    R"({"id": "d1", "context": "c", "question": "q", "answers": ["x"]})"
    "\n";

// The sentence that loading this content as "demo.jsonl" of the data set ends with.
std::string refusal(const std::string& content, const std::string& file = "demo.jsonl") {
  const testing::TemporaryFolder folder;
  std::ofstream(folder.path() / file, std::ios::binary) << content;
  try {
    load_dataset("demo", folder.path() / file);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kUsage);
    return error.what();
  }
  return "not refused";
}

std::string after_good(const std::string& content) { return refusal(std::string(kGood) + content); }

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
  EXPECT_EQ(refusal("[{},\n {\"a\": 1 \"b\"}]", "demo.json"),
            "demo.json:2 is cut off or no JSON: what stands at byte 12 of the line does not belong "
            "there.");
  EXPECT_EQ(after_good(R"({"context": "\ud800", "question": "q", "answers": ["x"]})").substr(0, 37),
            "demo.jsonl:2 is cut off or no JSON: w");
  EXPECT_EQ(after_good(R"({"context": 1e999})"),
            "demo.jsonl: a number on line 2 or behind it is beyond a double's range.");
}

TEST(BadFile, NoUtf8) {
  for (const char* bytes : {"\xFF", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                            "\xE0\x80\x80", "\xF0\x80\x80\x80", "\x80"}) {
    EXPECT_EQ(after_good(std::string("{\"context\": \"\u00E9") + bytes + "\"}"),
              "demo.jsonl:2 is no UTF-8 at byte 16 of the line: convert the file to UTF-8.");
  }
  EXPECT_EQ(refusal("[{},\n\"\xFF\"]", "demo.json"),
            "demo.json:2 is no UTF-8 at byte 2 of the line: convert the file to UTF-8.");
}

TEST(BadFile, WithoutRecords) {
  EXPECT_NE(refusal("").find("holds no records"), std::string::npos);
  EXPECT_NE(refusal("\n \n").find("holds no records"), std::string::npos);
  EXPECT_NE(refusal("[]").find("holds no records"), std::string::npos);
}

TEST(BadFile, DeeplyNestedDoesNotOverflowTheStack) {
  const std::string deep(1'000'000, '[');
  EXPECT_NE(after_good(R"({"context": )" + deep).find("demo.jsonl:2 is cut off"),
            std::string::npos);
  EXPECT_NE(refusal(deep).find("cut off"), std::string::npos);
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
