// Scores of one answer against a sample's accepted answers, by the name of the metric.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvcomm {

// "f1_match", "f1", "exact_match", "rouge_l_recall", "edit_similarity", "accuracy", "includes".
const std::vector<std::string>& metric_names();

// Whether f1_match, f1 and exact_match compare lemmas (lemmas.h), which needs WordNet's dictionary:
// kWith is refused (kEnvironment) where it is not installed. The other metrics know no lemmas.
enum class Lemmas { kIfInstalled, kWith, kWithout };

// The best over the accepted answers, 0 to 1; an empty answer scores 0, as does a sample without
// accepted answers. Texts are UTF-8; bytes that are none count as U+FFFD. An unknown metric is
// refused (kUsage) with the near miss. 10,000 pairs of a line each take some tenths of a second.
//   f1_match         1 if f1 is above 0.5, else 0: the paper's F1 as its release computes it
//   f1               of the sets of words of both texts, normalised and lemmatised twice
//                    (official_behaviour.md, "F1", points 6 and 14)
//   exact_match      1 if those normalised texts are equal and hold a word, else 0
//   rouge_l_recall   as the Python package `rouge` gives rouge-l's r; 0 where it raises
//   edit_similarity  fuzzywuzzy's ratio on difflib, of the answer's first line of code (point 17)
//   accuracy         1 if both texts name the same option, A to D: the first such letter that is a
//                    word by itself and no article, a small one only as in "b. Paris", "(b)" and
//                    "the answer is b." (accuracy.cpp has the rule); else 0
//   includes         1 if every word of an accepted answer stands as a word in the answer, else 0
double score(std::string_view metric, std::string_view answer, std::span<const std::string> answers,
             Lemmas lemmas = Lemmas::kIfInstalled);

// What is done to texts before this metric compares them, for the results and as part of what
// identifies a score: "release-f1, WordNet 3.0 lemmas", "release-f1, words not lemmatised", ...
std::string normalisation_name(std::string_view metric, Lemmas lemmas = Lemmas::kIfInstalled);

// Of the dictionary that the metric's lemmas come from; "" where it compares none.
std::string lemmas_fingerprint(std::string_view metric, Lemmas lemmas = Lemmas::kIfInstalled);

// Logs, once in a process, that this metric compares plain words for want of the dictionary.
void warn_without_lemmas(std::string_view metric);

}  // namespace kvcomm
