// Lemmas from WordNet's own files (Debian's wordnet-base); what holds without them is tested first.
#include "score/lemmas.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "score/metrics.h"
#include "score/score.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

using Answers = std::vector<std::string>;

// A dictionary of a few words.
void write_dictionary(const std::filesystem::path& folder) {
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(folder / name) << text;
  };
  write("index.noun",
        "  1 WordNet 9.1 Copyright 2099  \ndog n 1 1 @ 1 0 00000001  \n"
        "hot_dog n 1 0 1 0 00000002  \n");
  write("index.verb", "run v 1 0 1 0 00000003  \n");
  write("index.adj", "large a 1 0 1 0 00000004");  // the last line may lack its end
  write("index.adv", "");
  write("noun.exc", "doggies dog\nbroken\n");
  write("verb.exc", "ran run\n");
  write("adj.exc", "");
  write("adv.exc", "");
}

TEST(Dictionary, IsReadFromItsFiles) {
  const testing::TemporaryFolder folder;
  write_dictionary(folder.path());
  const WordNet dictionary(folder.path());
  EXPECT_EQ(dictionary.version(), "9.1");
  for (const auto& [form, lemma] : std::map<std::string, std::string>{{"dogs", "dog"},
                                                                      {"doggies", "dog"},
                                                                      {"broken", "broken"},
                                                                      {"ran", "run"},
                                                                      {"largest", "large"},
                                                                      {"cats", "cats"},
                                                                      {"hot_dogs", "hot_dogs"},
                                                                      {"", ""}}) {
    EXPECT_EQ(dictionary.lemma(form), lemma) << form;
  }
}

TEST(Dictionary, EveryFileIsPartOfItsFingerprint) {
  const testing::TemporaryFolder folder;
  write_dictionary(folder.path());
  const std::string first = WordNet(folder.path()).fingerprint();
  EXPECT_EQ(first.size(), 32u);
  EXPECT_EQ(WordNet(folder.path()).fingerprint(), first);
  for (const char* part : {"noun", "verb", "adj", "adv"}) {
    for (const std::string& name : {fmt::format("index.{}", part), fmt::format("{}.exc", part)}) {
      write_dictionary(folder.path());
      std::ofstream(folder.path() / name, std::ios::app) << "\nmore less\n";
      EXPECT_NE(WordNet(folder.path()).fingerprint(), first) << name;
    }
  }
}

TEST(Dictionary, ThatIsIncompleteOrNoneIsRefused) {
  const testing::TemporaryFolder folder;
  const auto message = [&] {
    try {
      WordNet{folder.path()};
      return std::string("read");
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kEnvironment);
      return std::string(error.what());
    }
  };
  write_dictionary(folder.path());
  std::filesystem::remove(folder.path() / "verb.exc");
  EXPECT_EQ(message(), "'" + (folder.path() / "verb.exc").string() +
                           "' is missing: WordNet's dictionary is incomplete. Install Debian's "
                           "wordnet-base, or set WNSEARCHDIR to the folder that holds it.");
  write_dictionary(folder.path());
  std::ofstream(folder.path() / "index.noun") << "dog n\n";
  EXPECT_NE(message().find("is no index of WordNet"), std::string::npos);
}

class Installed : public ::testing::Test {
 protected:
  void SetUp() override {
    if (WordNet::installed() == nullptr) {
      GTEST_SKIP() << "no WordNet dictionary: install Debian's wordnet-base";
    }
  }
};

TEST_F(Installed, FormsHaveTheLemmasOfThisList) {
  const std::map<std::string, std::string> lemmas = {
      // nouns: by ending, by the exception list, unknown to the dictionary
      {"companies", "company"},
      {"states", "state"},
      {"churches", "church"},
      {"wolves", "wolf"},
      {"boxes", "box"},
      {"policemen", "policeman"},
      {"geese", "goose"},
      {"children", "child"},
      {"glass", "glass"},
      {"bus", "bus"},
      {"smollm", "smollm"},
      {"1990s", "1990s"},
      {"us", "u"},
      {"as", "a"},     // as nltk has it
      {"men", "men"},  // a noun of its own, and no longer than man
      // verbs
      {"united", "unite"},
      {"running", "run"},
      {"stopped", "stop"},
      {"making", "make"},
      {"was", "be"},
      {"went", "go"},
      {"has", "have"},
      {"left", "left"},
      {"king", "king"},
      {"red", "red"},
      // adjectives and adverbs
      {"larger", "large"},
      {"largest", "large"},
      {"happier", "happy"},
      {"famous", "famous"},
      {"forest", "forest"},
      {"player", "player"},
      {"national", "national"},
      {"quickly", "quickly"},
      {"family", "family"}};
  for (const auto& [form, lemma] : lemmas) {
    EXPECT_EQ(WordNet::installed()->lemma(form), lemma) << form;
  }
}

TEST_F(Installed, ScoresCompareLemmas) {
  EXPECT_EQ(score("f1", "Two companies", Answers{"two company"}), 1);
  EXPECT_DOUBLE_EQ(score("f1", "Two companies", Answers{"two company"}, Lemmas::kWithout), 0.5);
  EXPECT_EQ(score("exact_match", "was united", Answers{"is uniting"}, Lemmas::kWith), 1);
  EXPECT_EQ(f1_text("as the Geese of Zürichs", WordNet::installed()), "goose of zürichs");
  EXPECT_EQ(normalisation_name("f1_match"),
            "release-f1, WordNet " + WordNet::installed()->version() + " lemmas");
}

TEST_F(Installed, TheDictionaryIsReadFast) {
  const auto begin = std::chrono::steady_clock::now();
  const WordNet dictionary(getenv("WNSEARCHDIR") ? getenv("WNSEARCHDIR") : "/usr/share/wordnet");
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  std::cout << "read in " << taken.count() << " s\n";
  EXPECT_LT(taken.count(), 1);  // some 0.05 s; the bound is for a busy machine
}

TEST_F(Installed, SeveralThreadsMayScoreAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int n = 0; n < 100; ++n) {
        EXPECT_EQ(score("f1_match", "the companies", Answers{"company"}), 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace kvcomm
