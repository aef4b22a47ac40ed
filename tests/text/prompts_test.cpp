// Prompts: the built-in wording, a file of the user's, and how placeholders are filled.
#include "text/prompts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Prompts load_text(const std::string& toml) {
  const testing::TemporaryFolder folder;
  write_file_atomic(folder.path() / "prompts.toml", toml);
  return Prompts::load(folder.path() / "prompts.toml");
}

std::string refusal(const std::string& toml) {
  try {
    load_text(toml);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kUsage);
    return error.what();
  }
  return "loaded";
}

TEST(Fill, PutsValuesInAsTheyAre) {
  const std::array<PromptValue, 2> values = {
      {{"context", " {question} \n"}, {"question", "{context}?"}}};
  EXPECT_EQ(fill("[{context}|{question}|{context}]", values),
            "[ {question} \n|{context}?| {question} \n]");
}

TEST(Fill, LeavesOtherBracesAlone) {
  const std::array<PromptValue, 2> values = {{{"answer", "A"}, {"index", "1"}}};
  EXPECT_EQ(fill("{", values), "{");
  EXPECT_EQ(fill("{answer", values), "{answer");
  EXPECT_EQ(fill("{answers} {Answer} { answer } {} }{ {{answer}}", values),
            "{answers} {Answer} { answer } {} }{ {A}");
  EXPECT_EQ(fill("{index}{answer}{context}", values), "1A{context}");
  EXPECT_EQ(fill("", values), "");
}

TEST(Prompts, BuiltInHasEveryKindAndKey) {
  const Prompts prompts = Prompts::built_in();
  for (const auto* kind : {"qa", "math", "code", "summary", "choice"}) {
    for (const auto* key : {"sender", "receiver", "skyline", "baseline", "sender_summary", "refine",
                            "other_answer", "question_suffix", "answer_prefix"}) {
      EXPECT_TRUE(prompts.has("some_set", kind, key)) << kind << " " << key;
    }
    EXPECT_THAT(prompts.text("some_set", kind, "sender"), HasSubstr("{context}"));
    EXPECT_THAT(prompts.text("some_set", kind, "receiver"), HasSubstr("{question}"));
    EXPECT_THAT(prompts.text("some_set", kind, "skyline"),
                AllOf(HasSubstr("{context}"), HasSubstr("{question}")));
    EXPECT_THAT(prompts.text("some_set", kind, "baseline"), HasSubstr("{question}"));
    EXPECT_THAT(prompts.text("some_set", kind, "sender_summary"), HasSubstr("{context}"));
    EXPECT_THAT(
        prompts.text("some_set", kind, "refine"),
        AllOf(HasSubstr("{prompt}"), HasSubstr("{own_answer}"), HasSubstr("{other_answers}")));
  }
}

TEST(Prompts, BuiltInIsTheFileToCopy) {
  const Prompts copy = Prompts::load(testing::source_dir() / "src/text/prompts.toml");
  EXPECT_EQ(copy.text("x", "qa", "refine"), Prompts::built_in().text("x", "qa", "refine"));
}

TEST(Prompts, ADataSetsTableOverridesKeyByKey) {
  const Prompts prompts = load_text(
      "[qa]\nsender = 'S {context}'\nreceiver = 'R {question}'\n[hotpot_2]\nreceiver = 'H "
      "{question}'\nanswer_prefix = 'The '");
  EXPECT_EQ(prompts.text("hotpot_2", "qa", "receiver"), "H {question}");
  EXPECT_EQ(prompts.text("hotpot_2", "qa", "sender"), "S {context}");
  EXPECT_EQ(prompts.text("hotpot_2", "qa", "answer_prefix"), "The ");
  EXPECT_EQ(prompts.text("countries", "qa", "receiver"), "R {question}");
}

TEST(Prompts, ADataSetWithAHyphenHasATableToo) {
  for (const auto* name : {"longbench_repobench-p", "'longbench_repobench-p'"}) {
    const Prompts prompts = load_text(fmt::format("[{}]\nsender = 'L {{context}}'\n", name));
    EXPECT_EQ(prompts.text("longbench_repobench-p", "code", "sender"), "L {context}");
  }
}

TEST(Prompts, AFileReplacesTheWholeSet) {
  const Prompts prompts = load_text("[qa]\nsender = 'S'\n");
  EXPECT_FALSE(prompts.has("x", "qa", "receiver"));
  EXPECT_FALSE(prompts.has("x", "math", "sender"));
  EXPECT_EQ(prompts.text("x", "qa", "other_answer"), "{answer}");
  EXPECT_EQ(prompts.text("x", "math", "question_suffix"), "");
  EXPECT_EQ(prompts.text("x", "math", "answer_prefix"), "");
  try {
    prompts.text("countries", "qa", "receiver");
    FAIL() << "found";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kUsage);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("'receiver'"), HasSubstr("[countries]"),
                                    HasSubstr("[qa]"), HasSubstr("prompts.toml")));
  }
}

TEST(Prompts, ATableThatIsNotThereIsNamedWithTheNearMiss) {
  try {
    Prompts::built_in().text("mine", "qaa", "sender");
    FAIL() << "found";
  } catch (const Error& error) {
    EXPECT_STREQ(
        error.what(),
        "There is no prompt 'sender' for data set 'mine' in the built-in prompts: add it to "
        "table [mine] or [qaa]. Did you mean 'qa'?");
  }
}

TEST(Prompts, TheQuestionCarriesItsSuffix) {
  const Prompts prompts = load_text(
      "[qa]\nbaseline = 'Q: {question}'\nskyline = '{context}/{question}'\nquestion_suffix = ' "
      "{context}!'\n");
  const std::array<PromptValue, 2> values = {{{"context", "C"}, {"question", "who? "}}};
  EXPECT_EQ(prompts.prompt("x", "qa", "baseline", values), "Q: who?  {context}!");
  EXPECT_EQ(prompts.prompt("x", "qa", "skyline", values), "C/who?  {context}!");
}

TEST(Prompts, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(refusal("[qa]\nrecever = 'x'\n"), AllOf(HasSubstr("line 2"), HasSubstr("'recever'"),
                                                      HasSubstr("Did you mean 'receiver'?")));
  EXPECT_THAT(refusal("sender = 'x'\n"), AllOf(HasSubstr("line 1"), HasSubstr("outside a table")));
  EXPECT_THAT(refusal("[qa]\n\nsender = 3\n"), AllOf(HasSubstr("line 3"), HasSubstr("no text")));
  EXPECT_THAT(refusal("[Qa]\nsender = 'x'\n"), HasSubstr("[Qa]"));
  EXPECT_THAT(refusal("['hotpot qa']\nsender = 'x'\n"), HasSubstr("[hotpot qa]"));
  EXPECT_THAT(refusal("[qa\n"), AllOf(HasSubstr("line 1"), HasSubstr("prompts.toml")));
}

TEST(Prompts, WhatAPromptLeavesOutIsNamed) {
  const Prompts prompts = load_text(
      "[qa]\nsender = 'S {context}'\nrefine = '{prompt} {other_answers}'\nother_answer = 'x'\n");
  using Names = std::vector<std::string>;
  EXPECT_EQ(prompts.left_out("x", "qa", "sender"), Names{});
  EXPECT_EQ(prompts.left_out("x", "qa", "question_suffix"), Names{});
  EXPECT_EQ(prompts.left_out("x", "qa", "refine"), Names{"{own_answer}"});
  EXPECT_EQ(prompts.left_out("x", "qa", "other_answer"), Names{"{answer}"});
}

}  // namespace
}  // namespace kvcomm
