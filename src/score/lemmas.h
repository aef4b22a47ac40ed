// Lemmas of English words from WordNet's dictionary files (Debian's wordnet-base), as nltk's
// WordNetLemmatizer gives them. Without nltk's tagger, which has no place here, a word's part of
// speech is told from its ending.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace kvcomm {

enum class PartOfSpeech { kNoun, kVerb, kAdjective, kAdverb };

class WordNet {
 public:
  // Reads index.* and *.exc (6.4 MB, some 50 ms). Fails (kEnvironment) naming a file that is
  // missing or is no WordNet file.
  explicit WordNet(const std::filesystem::path& folder);
  WordNet(const WordNet&) = delete;  // the tables point into its own files

  // Where this machine's dictionary belongs: the folder that WNSEARCHDIR names (WordNet's own
  // variable), else /usr/share/wordnet.
  static std::filesystem::path folder();

  // The dictionary in that folder. Read at the first call, by whichever thread; nullptr where there
  // is none. One that is there and broken fails as above.
  static const WordNet* installed();

  // "3.0", as its licence says.
  const std::string& version() const { return version_; }

  // Of all bytes read.
  const std::string& fingerprint() const { return fingerprint_; }

  // Among the word itself and its base forms (those of the exception list, or else by morphy's
  // endings), the shortest that the dictionary knows in this part of speech; the earlier of equally
  // short ones, the word itself where it knows none. Words are lower-case.
  std::string lemma(std::string_view word, PartOfSpeech part) const;

  // -ly: adverb; -ing, -ed and irregular forms (verb.exc) that are no nouns: verb; -able, -al,
  // -ful, -ible, -ic, -ish, -ive, -less, -ous, and -er, -est where the word is no noun: adjective;
  // all others: noun.
  PartOfSpeech part_of_speech(std::string_view word) const;

  std::string lemma(std::string_view word) const { return lemma(word, part_of_speech(word)); }

 private:
  static constexpr size_t kParts = 4;
  using BaseForms = std::unordered_map<std::string_view, std::vector<std::string_view>>;

  bool knows(std::string_view word, PartOfSpeech part) const;
  void read_index(std::string_view text, PartOfSpeech part);
  void read_exceptions(std::string_view text, PartOfSpeech part);

  std::vector<std::string> files_;
  std::string version_, fingerprint_;
  std::unordered_map<std::string_view, unsigned> words_;  // to a bit for each part of speech
  std::array<BaseForms, kParts> irregular_;
};

}  // namespace kvcomm
