#include "score/score.h"

#include <gtest/gtest.h>

#include <chrono>
#include <iostream>

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

TEST(F1, IsTheValueThatTheMatchIsDecidedBy) {
  EXPECT_DOUBLE_EQ(score("f1", "one two", Answers{"one two three"}), 0.8);
  EXPECT_DOUBLE_EQ(score("f1", "one two", Answers{"four", "one three"}), 0.5);
  EXPECT_EQ(score("f1", "", Answers{"x"}), 0);
}

TEST(ExactMatch, ComparesTheNormalisedTexts) {
  EXPECT_EQ(score("exact_match", "The  United-States.", Answers{"unitedstates"}), 1);
  EXPECT_EQ(score("exact_match", "states united", Answers{"united states"}), 0);  // F1 1
  EXPECT_EQ(score("exact_match", "yes", Answers{"no", "Yes!"}), 1);
  EXPECT_EQ(score("exact_match", "the", Answers{"a"}), 0);  // nothing is left to compare
}

TEST(RougeLRecall, CountsTheAcceptedAnswersWordsThatComeInItsOrder) {
  EXPECT_DOUBLE_EQ(score("rouge_l_recall", "so x is 4, then", Answers{"x is 4, or y is"}), 0.6);
  EXPECT_EQ(score("rouge_l_recall", "b. a", Answers{"a b"}), 1);  // each sentence brings a word
  EXPECT_EQ(score("rouge_l_recall", "b a", Answers{"a b"}), 0.5);
  EXPECT_EQ(score("rouge_l_recall", "", Answers{"x"}), 0);
  EXPECT_EQ(score("rouge_l_recall", "...", Answers{"x"}), 0);  // where the package raises
}

TEST(EditSimilarity, LooksAtTheFirstLineOfCode) {
  const Answers expected{"return self.x"};
  EXPECT_EQ(score("edit_similarity", "return self.x\nreturn None", expected), 1);
  EXPECT_EQ(score("edit_similarity", "\n\n   \n# why\nreturn self.x", expected), 1);
  EXPECT_EQ(score("edit_similarity", "\"\"\"Gives\nreturn x.\n\"\"\"\nreturn self.x", expected), 1);
  EXPECT_EQ(score("edit_similarity", "return self.y", expected), 0.92);
  EXPECT_EQ(score("edit_similarity", "# return self.x", expected), 0.93);  // there is only that
  EXPECT_EQ(score("edit_similarity", "", expected), 0);
}

TEST(EditSimilarity, PassesOverLinesThatPythonFindsBlank) {
  EXPECT_EQ(
      score("edit_similarity", "\x1C\r\n\u3000\u00A0\nreturn self.x", Answers{"return self.x"}), 1);
}

TEST(EditSimilarity, IsOneForEqualLinesHoweverLong) {
  const std::string line = "x = " + std::string(300, '0');  // difflib alone gives 0.03 or so
  EXPECT_EQ(score("edit_similarity", line, Answers{line}), 1);
}

// The option that an answer names, "" for none.
std::string option(const std::string& answer) {
  std::string named;
  for (const char* letter : {"A", "B", "C", "D"}) {
    if (score("accuracy", answer, Answers{letter}) == 1) named += letter;
  }
  return named;
}

TEST(Accuracy, TakesTheFirstOptionLetterThatStandsAlone) {
  for (const char* answer : {"B", " B.", "(B) red", "The answer is: **B**", "Answer:B or C",
                             "I think it is $B$", "Blue, so B", "B: because", "B is correct",
                             "\\boxed{B}", "B's the answer", "B. A good one"}) {
    EXPECT_EQ(option(answer), "B") << answer;
  }
  for (const char* answer : {"", "Blue", "a b", "E", "BB", "B2", "none"}) {
    EXPECT_EQ(option(answer), "") << answer;
  }
  EXPECT_EQ(option("C, not B"), "C");
  for (const char* answer : {"The answer isn't A, it's B", "It can't be A. B",
                             "It cannot be (A), so B", "A is incorrect. The answer is B",
                             "Option A is wrong, so B", "(A) is wrong; (B) is right"}) {
    EXPECT_EQ(option(answer), "B") << answer;
  }
  EXPECT_EQ(score("accuracy", "none", Answers{"none"}), 0);  // no option is given
}

TEST(Accuracy, TakesASmallLetterWhereItIsTheAnswer) {
  for (const char* answer :
       {"b", "b.", "b. Paris", "b) Paris", "b: Paris", "(b)", "[b] Paris", "**b**", "'b'",
        "The answer is b.", "The answer is b because it is", "Answer: b", "option b", "It's b",
        "I choose b.", "I think b", "b - Paris", "The answer:\nb. Paris",
        "The correct option is b) Paris."}) {
    EXPECT_EQ(option(answer), "B") << answer;
  }
  for (const char* answer :
       {"b^2 - 4ac", "b = 4", "f(b)", "I'd", "what they'd", "plan b fails", "x, y, b"}) {
    EXPECT_EQ(option(answer), "") << answer;
  }
}

TEST(Accuracy, TakesNoArticle) {
  EXPECT_EQ(option("A good choice is B"), "B");
  for (const char* answer : {"A city in France", "A Frenchman", "Answer: a city", "a red one"}) {
    EXPECT_EQ(option(answer), "") << answer;
  }
  for (const char* answer : {"A", "a", "A.", "A)", "(a)", "Answer: A", "A. Paris", "a. Paris",
                             "**A**", "option a", "A, Paris", "The answer is a.", "A is right",
                             "A because it is", "A\nParis is", "A - Paris", "\"A\""}) {
    EXPECT_EQ(option(answer), "A") << answer;
  }
}

TEST(Accuracy, TakesNoPartOfAWordOrOfAList) {
  for (const char* answer :
       {"U.S.A.", "Washington D.C.", "44 B.C.", "at 9 a.m.", "B-cells", "D'Artagnan",
        "Both A and B", "A, B and C", "A & B", "neither A nor B", "not A"}) {
    EXPECT_EQ(option(answer), "") << answer;
  }
  EXPECT_EQ(option("I'd say B"), "B");
  EXPECT_EQ(option("A and B are wrong, so C"), "C");
  EXPECT_EQ(option("It is not A, it is B"), "B");
}

TEST(Accuracy, ReadsAcceptedAnswersAlike) {
  for (const char* accepted : {"B", "b", "(B)", "B. Paris", "b) Paris"}) {
    EXPECT_EQ(score("accuracy", "The answer is b.", Answers{accepted}), 1) << accepted;
  }
  EXPECT_EQ(score("accuracy", "Paris", Answers{"Paris"}), 0);
}

TEST(Metrics, AreNamedWithTheirNormalisation) {
  EXPECT_EQ(metric_names(), (Answers{"f1_match", "f1", "exact_match", "rouge_l_recall",
                                     "edit_similarity", "accuracy", "includes"}));
  for (const std::string& metric : metric_names()) {
    EXPECT_NE(normalisation_name(metric), "");
    EXPECT_EQ(score(metric, "", Answers{"x"}), 0) << metric;
    EXPECT_EQ(score(metric, "x", Answers{}), 0) << metric;
  }
  EXPECT_EQ(normalisation_name("f1", Lemmas::kWithout), "release-f1, words not lemmatised");
  EXPECT_EQ(normalisation_name("includes", Lemmas::kWith), "lower case, punctuation as blanks");
  EXPECT_EQ(normalisation_name("accuracy"), "option letter, which is no article");
}

TEST(Metrics, TakeTenThousandPairsInTenthsOfASecond) {
  const Answers expected{
      "The answer follows from the triangle's height: we divide by two and get $3x^2 + 4$. So the "
      "area of the smaller one is a quarter of the larger one's, and the ratio is $\\frac{1}{4}$."};
  const std::string answer =
      "First we divide the triangle into two smaller ones. The area of each of them is a quarter "
      "of the first, so the ratio of both areas together is one half.";
  for (const std::string& metric : metric_names()) {
    score(metric, answer, expected);  // the dictionary is read once
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 10000; ++i) score(metric, answer, expected);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    std::cout << metric << ": " << taken.count() << " s\n";
    EXPECT_LT(taken.count(), 10) << metric;  // a bound for busy machines and sanitizers
  }
}

TEST(Metrics, RefuseAnUnknownNameWithTheNearMiss) {
  try {
    score("f1_mach", "x", Answers{"x"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kUsage);
    EXPECT_STREQ(
        error.what(),
        "Unknown metric 'f1_mach'. Did you mean 'f1_match'? Known: f1_match, f1, exact_match, "
        "rouge_l_recall, edit_similarity, accuracy, includes.");
  }
}

}  // namespace
}  // namespace kvcomm
