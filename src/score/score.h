// Scores of one answer against a sample's accepted answers, by the name of the metric.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvcomm {

// "f1_match", "includes".
const std::vector<std::string>& metric_names();

// The best over the accepted answers, 0 to 1; an answer without words scores 0, as does a sample
// without accepted answers. Texts are UTF-8; bytes that are none count as U+FFFD. An unknown metric
// is refused (kUsage) with the near miss.
//   f1_match: 1 if the F1 of the sets of words is above 0.5, else 0 (official_behaviour.md, "F1",
//   6, 14) includes: 1 if every word of an accepted answer stands as a word in the answer, else 0
double score(std::string_view metric, std::string_view answer,
             std::span<const std::string> answers);

// What is done to texts before this metric compares them, for the results: "release-f1, words not
// lemmatised", "lower case, punctuation as blanks".
std::string normalisation_name(std::string_view metric);

}  // namespace kvcomm
