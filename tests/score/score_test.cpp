#include "score/score.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "score/metrics.h"

namespace kvcomm {
namespace {

using Answers = std::vector<std::string>;

TEST(F1Match, LooksAtWordsNotAtCasePunctuationOrArticles) {
  EXPECT_EQ(score("f1_match", "The United States.", Answers{"united states"}), 1);
  EXPECT_EQ(score("f1_match", "United Kingdom of", Answers{"United States"}), 0);
  EXPECT_EQ(score("f1_match", "sable llc, I think so", Answers{"Sable LLC"}), 1);  // 4/7
}

TEST(F1Match, NeedsMoreThanAHalf) {
  EXPECT_EQ(score("f1_match", "one two", Answers{"one three"}), 0);        // exactly 0.5
  EXPECT_EQ(score("f1_match", "one two", Answers{"one two three"}), 1);    // 0.8
  EXPECT_EQ(score("f1_match", "one one one two", Answers{"one two"}), 1);  // sets: no repetition
}

TEST(F1Match, RoundsAsPythonDoesWhereTheExactValueIsAHalf) {
  EXPECT_EQ(score("f1_match", "1 2 3 4 5", Answers{"1 2 3 4 6 7 8 9 10 11 12"}), 1);
}

TEST(F1Match, TakesTheBestOfTheAnswers) {
  EXPECT_EQ(score("f1_match", "USA", Answers{"United States", "usa"}), 1);
}

TEST(F1Match, GivesNothingForNothing) {
  EXPECT_EQ(score("f1_match", "", Answers{"x"}), 0);
  EXPECT_EQ(score("f1_match", "x", Answers{""}), 0);
  EXPECT_EQ(score("f1_match", "the", Answers{"a"}), 0);  // both are empty once normalised
  EXPECT_EQ(score("f1_match", "x", Answers{}), 0);
}

TEST(F1Text, FollowsTheReleaseStepByStep) {
  EXPECT_EQ(f1_text("a+b, a^2 and the $5"), "ab a2 and 5");
  EXPECT_EQ(f1_text("Don\u2019t \u201cstop\u201d\u2014now"), "dont stopnow");
  EXPECT_EQ(f1_text("I cannot; they're gonna"), "i can not theyre gon na");
  EXPECT_EQ(f1_text("tab\tnbsp\u00A0ideographic\u3000end"), "tab nbsp ideographic end");
  EXPECT_EQ(f1_text("a-b the. an!"), "ab");
}

TEST(F1Text, LowersAsPythonDoes) {
  EXPECT_EQ(f1_text("\u0130zmir"), "i\u0307zmir");
  EXPECT_EQ(f1_text("\u039F\u0394\u039F\u03A3 \u03A3\u039F\u03A6\u0399\u0391"),  // ΟΔΟΣ ΣΟΦΙΑ
            "\u03BF\u03B4\u03BF\u03C2 \u03C3\u03BF\u03C6\u03B9\u03B1");          // final, then not
  EXPECT_EQ(f1_text("STRASSE \u00DF"), "strasse \u00DF");
}

TEST(F1Text, TakesBytesThatAreNoTextAsAReplacementCharacter) {
  EXPECT_EQ(f1_text("x\xFFy"), "x\uFFFDy");
}

TEST(Includes, FindsTheWordsOfAnAnswerInASentence) {
  EXPECT_EQ(score("includes", "Anna's key is in the Red drawer.", Answers{"red drawer"}), 1);
  EXPECT_EQ(score("includes", "It is Anna's.", Answers{"Anna"}), 1);
  EXPECT_EQ(score("includes", "It is in the drawer.", Answers{"red drawer"}), 0);
  EXPECT_EQ(score("includes", "A reddish drawer", Answers{"red"}), 0);
  EXPECT_EQ(score("includes", "It is blue.", Answers{"red", "blue"}), 1);
  EXPECT_EQ(score("includes", "anything", Answers{"..."}), 0);
  EXPECT_EQ(score("includes", "", Answers{"red"}), 0);
}

TEST(Metrics, AreNamedWithTheirNormalisation) {
  EXPECT_EQ(metric_names(), (std::vector<std::string>{"f1_match", "includes"}));
  EXPECT_EQ(normalisation_name("f1_match"), "release-f1, words not lemmatised");
  EXPECT_NE(normalisation_name("includes"), normalisation_name("f1_match"));
}

TEST(Metrics, RefuseAnUnknownNameWithTheNearMiss) {
  try {
    score("f1_mach", "x", Answers{"x"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kUsage);
    EXPECT_STREQ(error.what(),
                 "Unknown metric 'f1_mach'. Did you mean 'f1_match'? Known: f1_match, includes.");
  }
}

}  // namespace
}  // namespace kvcomm
