// The tokenizer on a small vocabulary, against what the `tokenizers` package gives
// (make_fixture.py).
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "tests/support/paths.h"
#include "text/unicode.h"

namespace kvcomm {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::filesystem::path fixture() { return testing::source_dir() / "tests/text/fixture"; }

json base_tokenizer() { return json::parse(read_file(fixture() / "tokenizer.json")); }

Tokenizer load_json(const json& tokenizer) {
  const testing::TemporaryFolder folder;
  write_file_atomic(folder.path() / "tokenizer.json", tokenizer.dump());
  return Tokenizer::load(folder.path());
}

std::string refusal(const json& patch) {
  json changed = base_tokenizer();
  changed.merge_patch(patch);
  try {
    load_json(changed);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kEnvironment);
    return error.what();
  }
  return "loaded";
}

TEST(Tokenizer, AgreesWithThePackage) {
  size_t compared = 0;
  for (const json& variant : json::parse(read_file(fixture() / "expected.json"))) {
    SCOPED_TRACE(variant["name"].get<std::string>());
    json changed = base_tokenizer();
    changed.merge_patch(variant["patch"]);
    const Tokenizer tokenizer = load_json(changed);
    for (const json& expected : variant["expected"]) {
      const std::string text = expected["text"];
      SCOPED_TRACE("text: " + expected["text"].dump());
      const std::vector<int64_t> ids = expected["ids"];
      EXPECT_EQ(tokenizer.encode(text, /*add_special_tokens=*/true), ids);
      EXPECT_EQ(tokenizer.encode(text, /*add_special_tokens=*/false),
                expected["ids_without_special"].get<std::vector<int64_t>>());
      for (size_t n = 0; n <= ids.size(); n++) {
        EXPECT_EQ(tokenizer.decode(std::span(ids).first(n)),
                  expected["decoded_prefixes"][n].get<std::string>());
      }
      EXPECT_EQ(tokenizer.decode(ids, /*skip_special_tokens=*/false),
                expected["decoded_with_special"].get<std::string>());
      compared++;
    }
  }
  EXPECT_GT(compared, 250u);
}

TEST(Tokenizer, ReadsMergesInBothSpellings) {
  json pairs = base_tokenizer(), texts = pairs;
  for (json& merge : texts["model"]["merges"]) {
    ASSERT_TRUE(merge.is_array());
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  const std::string text = "the harbour master wrote";
  EXPECT_EQ(load_json(pairs).encode(text, true), load_json(texts).encode(text, true));
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer tokenizer = Tokenizer::load(fixture());
  EXPECT_EQ(tokenizer.vocab_size(), 427);  // 420 of the model, 7 added
  EXPECT_EQ(tokenizer.id_of("<eos>"), 1);
  EXPECT_EQ(tokenizer.id_of("<left>"), 420);
  EXPECT_EQ(tokenizer.id_of("Ġ"), tokenizer.encode(" ", false).at(0));
  EXPECT_EQ(tokenizer.id_of("no such token"), std::nullopt);
}

TEST(Tokenizer, DecodesIdsWithoutATokenToNothing) {
  const Tokenizer tokenizer = Tokenizer::load(fixture());
  std::vector<int64_t> ids = tokenizer.encode("the", false);
  ids.insert(ids.begin(), {-1, 427, 1'000'000});
  EXPECT_EQ(tokenizer.decode(ids), "the");
}

TEST(Tokenizer, HashesTheContent) {
  json changed = base_tokenizer();
  const std::string before = load_json(changed).hash();
  EXPECT_EQ(before, load_json(changed).hash());
  changed["added_tokens"][0]["lstrip"] = true;
  EXPECT_NE(before, load_json(changed).hash());
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const Tokenizer tokenizer = Tokenizer::load(fixture());
  try {
    tokenizer.encode("abc\xC3(", true);
    FAIL() << "encoded";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("byte 3 of 5"));
  }
}

TEST(Unicode, ReplacesEachMaximalBrokenPart) {
  const auto replaced = [](std::string_view bytes) {
    const std::string text = replace_broken_utf8(bytes);
    size_t marks = 0;
    for (size_t at = 0; (at = text.find("\uFFFD", at)) != std::string::npos; at += 3) marks++;
    EXPECT_EQ(find_broken_utf8(text), std::nullopt);
    return marks;
  };
  EXPECT_EQ(replaced("\xE4\xBD"), 1u);  // a character cut off
  EXPECT_EQ(replaced("\xF0\x9F\x98"
                     "a\xF0\x9F"),
            2u);
  EXPECT_EQ(replaced("\xC0\xAF"), 2u);  // overlong forms
  EXPECT_EQ(replaced("\xE0\x80\x80"), 3u);
  EXPECT_EQ(replaced("\xF0\x80\x80\x80"), 4u);
  EXPECT_EQ(replaced("\xED\xA0\x80"), 3u);      // a surrogate
  EXPECT_EQ(replaced("\xF4\x90\x80\x80"), 4u);  // above U+10FFFF
  EXPECT_EQ(replaced("a\x80\xFF\xC3\xA9"), 2u);
  EXPECT_EQ(replaced("\xF4\x8F\xBF\xBF\xED\x9F\xBF"), 0u);
}

TEST(Tokenizer, LongWordsAndLongSpaceStayFast) {
  const Tokenizer tokenizer = Tokenizer::load(fixture());
  std::string text(300'000, 't');
  text += std::string(300'000, ' ') + "x" + std::string(300'000, '\n');
  // Not EXPECT_EQ, whose line-by-line difference of such texts would fill the memory.
  EXPECT_TRUE(tokenizer.decode(tokenizer.encode(text, true)) == text);
}

TEST(Tokenizer, ServesSeveralThreads) {
  const Tokenizer tokenizer = Tokenizer::load(fixture());
  const std::string text = "The harbour master wrote down every ship: 12 from the north.";
  const std::vector<int64_t> expected = tokenizer.encode(text, true);
  std::array<int, 4> wrong{};
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&tokenizer, &text, &expected, &count] {
      for (int i = 0; i < 200; i++) count += tokenizer.encode(text, true) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ::testing::Each(0));
}

TEST(Tokenizer, RefusesWhatItDoesNotKnowByItsName) {
  EXPECT_THAT(refusal({{"normalizer", {{"type", "NFKC"}}}}),
              HasSubstr("normalizer of type 'NFKC'"));
  EXPECT_THAT(refusal({{"pre_tokenizer", {{"type", "Metaspace"}}}}), HasSubstr("'Metaspace'"));
  EXPECT_THAT(refusal({{"pre_tokenizer", nullptr}}), HasSubstr("no 'ByteLevel' step"));
  EXPECT_THAT(refusal({{"post_processor", {{"type", "BertProcessing"}}}}),
              HasSubstr("'BertProcessing'"));
  EXPECT_THAT(refusal({{"decoder", {{"type", "Metaspace"}}}}),
              HasSubstr("decoder of type 'Metaspace'"));
  EXPECT_THAT(refusal({{"decoder", nullptr}}), HasSubstr("decoder of type 'null'"));
  EXPECT_THAT(refusal({{"model", {{"type", "Unigram"}}}}), HasSubstr("'Unigram'"));
  EXPECT_THAT(refusal({{"model", {{"byte_fallback", true}}}}),
              HasSubstr("'byte_fallback' to true"));
  EXPECT_THAT(refusal({{"model", {{"dropout", 0.1}}}}), HasSubstr("'dropout' to 0.1"));
  EXPECT_THAT(refusal({{"model", {{"unk_token", "<bos>"}}}}), HasSubstr("no token for byte 127"));
  EXPECT_THAT(refusal({{"model", {{"vocab", {{"th", nullptr}}}}}}), HasSubstr("'th'"));
  EXPECT_THAT(refusal({{"model", {{"vocab", {{"novel", -1}}}}}}), HasSubstr("the id -1"));
  EXPECT_THAT(
      refusal({{"added_tokens",
                {{{"id", 5}, {"content", "<novel>"}, {"special", true}, {"normalized", false}}}}}),
      HasSubstr("'<novel>' has the id 5"));
  EXPECT_THAT(refusal({{"novelty", 1}}), HasSubstr("component 'novelty'"));
}

TEST(Tokenizer, RefusesExpressionsThatReadDifferentlyElsewhere) {
  const auto split = [](const std::string& regex) {
    return json{{"pre_tokenizer",
                 {{"type", "Sequence"},
                  {"pretokenizers",
                   {{{"type", "Split"},
                     {"pattern", {{"Regex", regex}}},
                     {"behavior", "Isolated"},
                     {"invert", false}},
                    {{"type", "ByteLevel"}, {"add_prefix_space", false}}}}}}};
  };
  for (const std::string pattern :
       {"\\w+", "[\\S]", "\\p{N}{1,3}+", "(?m:.)", "[a[b]]", "[a&&b]", "\\h"}) {
    EXPECT_THAT(refusal(split(pattern)), HasSubstr("does not know")) << pattern;
  }
  EXPECT_THAT(refusal(split("\\s*")), HasSubstr("can match nothing"));
  EXPECT_THAT(refusal(split("(a")), HasSubstr("cannot be compiled"));
}

TEST(Tokenizer, NamesTheFile) {
  try {
    Tokenizer::load("/nowhere");
    FAIL() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kEnvironment);
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/tokenizer.json"));
  }
}

}  // namespace
}  // namespace kvcomm
