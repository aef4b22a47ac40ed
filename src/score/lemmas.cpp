#include "score/lemmas.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

constexpr const char* kDebianFolder = "/usr/share/wordnet";
constexpr std::string_view kNames[] = {"noun", "verb", "adj", "adv"};  // as PartOfSpeech

struct Ending {
  std::string_view of_form, of_base;
};

constexpr Ending kNounEndings[] = {{"s", ""},      {"ses", "s"},   {"ves", "f"},
                                   {"xes", "x"},   {"zes", "z"},   {"ches", "ch"},
                                   {"shes", "sh"}, {"men", "man"}, {"ies", "y"}};
constexpr Ending kVerbEndings[] = {{"s", ""},   {"ies", "y"}, {"es", "e"},  {"es", ""},
                                   {"ed", "e"}, {"ed", ""},   {"ing", "e"}, {"ing", ""}};
constexpr Ending kAdjectiveEndings[] = {{"er", ""}, {"est", ""}, {"er", "e"}, {"est", "e"}};

std::span<const Ending> endings(PartOfSpeech part) {
  switch (part) {
    case PartOfSpeech::kNoun:
      return kNounEndings;
    case PartOfSpeech::kVerb:
      return kVerbEndings;
    case PartOfSpeech::kAdjective:
      return kAdjectiveEndings;
    case PartOfSpeech::kAdverb:
      return {};
  }
  return {};
}

template <typename Each>
void for_each_line(std::string_view text, Each each) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    each(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// "WordNet 3.0 Copyright 2006 by ..." stands in the licence that opens an index.
std::string version_in(std::string_view licence) {
  constexpr std::string_view kBefore = "WordNet ", kBehind = " Copyright";
  const size_t end = licence.find(kBehind);
  if (end == std::string_view::npos) return "";
  const size_t begin = licence.rfind(kBefore, end);
  if (begin == std::string_view::npos) return "";
  const size_t from = begin + kBefore.size();
  return std::string(licence.substr(from, end - from));
}

bool ends_in_one_of(std::string_view word, std::span<const std::string_view> endings) {
  return std::ranges::any_of(endings, [&](std::string_view end) { return word.ends_with(end); });
}

}  // namespace

WordNet::WordNet(const fs::path& folder) {
  files_.reserve(2 * kParts);
  words_.reserve(1 << 17);
  const auto file = [&](const std::string& name) -> std::string_view {
    const fs::path path = folder / name;
    if (!fs::exists(path)) {
      fail(Exit::kEnvironment,
           "'{}' is missing: WordNet's dictionary is incomplete. Install Debian's wordnet-base, or "
           "set WNSEARCHDIR to the folder that holds it.",
           path.string());
    }
    return files_.emplace_back(read_file(path));
  };
  for (size_t i = 0; i < kParts; ++i) {
    const auto part = static_cast<PartOfSpeech>(i);
    const std::string name(kNames[i]);
    read_index(file("index." + name), part);
    read_exceptions(file(name + ".exc"), part);
  }
  std::string hashes;
  for (const std::string& text : files_) hashes += hash128_hex(text);
  fingerprint_ = hash128_hex(hashes);
  version_ = version_in(std::string_view(files_[0]).substr(0, 4096));
  if (version_.empty() || words_.empty()) {
    fail(Exit::kEnvironment, "'{}' is no index of WordNet: its licence does not stand at its head.",
         (folder / "index.noun").string());
  }
}

fs::path WordNet::folder() {
  const char* set = std::getenv("WNSEARCHDIR");
  return set != nullptr ? set : kDebianFolder;
}

const WordNet* WordNet::installed() {
  static const std::unique_ptr<const WordNet> dictionary = [] {
    return is_there(folder() / "index.noun") ? std::make_unique<const WordNet>(folder()) : nullptr;
  }();
  return dictionary.get();
}

// "dog n 7 5 @ ~ ...": only the word counts. Lines of the licence begin with a blank; entries of
// several words, joined by underscores, can be no word of a text.
void WordNet::read_index(std::string_view text, PartOfSpeech part) {
  for_each_line(text, [&](std::string_view line) {
    const std::string_view word = line.substr(0, line.find(' '));
    if (word.empty() || word.find('_') != std::string_view::npos) return;
    words_[word] |= 1u << static_cast<unsigned>(part);
  });
}

// "geese goose", or with several base forms "cherubim cherub cherubim".
void WordNet::read_exceptions(std::string_view text, PartOfSpeech part) {
  for_each_line(text, [&](std::string_view line) {
    std::vector<std::string_view> words;
    while (!line.empty()) {
      const size_t end = std::min(line.find(' '), line.size());
      if (end > 0) words.push_back(line.substr(0, end));
      line.remove_prefix(std::min(end + 1, line.size()));
    }
    if (words.empty()) return;
    irregular_[static_cast<size_t>(part)][words[0]] = {words.begin() + 1, words.end()};
  });
}

bool WordNet::knows(std::string_view word, PartOfSpeech part) const {
  const auto found = words_.find(word);
  return found != words_.end() && (found->second >> static_cast<unsigned>(part) & 1u) != 0;
}

std::string WordNet::lemma(std::string_view word, PartOfSpeech part) const {
  std::string best;
  const auto consider = [&](std::string_view form) {
    if ((best.empty() || form.size() < best.size()) && knows(form, part)) best = form;
  };
  consider(word);
  const BaseForms& irregular = irregular_[static_cast<size_t>(part)];
  if (const auto found = irregular.find(word); found != irregular.end()) {
    std::ranges::for_each(found->second, consider);
  } else {
    for (const Ending& ending : endings(part)) {
      if (!word.ends_with(ending.of_form)) continue;
      std::string form(word.substr(0, word.size() - ending.of_form.size()));
      consider(form += ending.of_base);
    }
  }
  return best.empty() ? std::string(word) : best;
}

PartOfSpeech WordNet::part_of_speech(std::string_view word) const {
  constexpr std::string_view kVerbForms[] = {"ing", "ed"};
  constexpr std::string_view kAdjectives[] = {"able", "al",  "ful",  "ible", "ic",
                                              "ish",  "ive", "less", "ous"};
  constexpr std::string_view kCompared[] = {"er", "est"};
  const bool noun = knows(word, PartOfSpeech::kNoun);
  if (word.ends_with("ly")) return PartOfSpeech::kAdverb;
  if (ends_in_one_of(word, kVerbForms)) return PartOfSpeech::kVerb;
  if (ends_in_one_of(word, kAdjectives)) return PartOfSpeech::kAdjective;
  if (!noun && irregular_[static_cast<size_t>(PartOfSpeech::kVerb)].contains(word)) {
    return PartOfSpeech::kVerb;
  }
  if (!noun && ends_in_one_of(word, kCompared)) return PartOfSpeech::kAdjective;
  return PartOfSpeech::kNoun;
}

}  // namespace kvcomm
