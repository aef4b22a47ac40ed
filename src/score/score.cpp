#include "score/score.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "score/lemmas.h"
#include "score/metrics.h"

namespace kvcomm {

namespace {

struct Metric {
  std::string_view name;
  std::string_view normalisation;
  double (*score)(const Compared& texts);
  bool lemmas = false;
};

constexpr Metric kMetrics[] = {
    {"f1_match", "release-f1", f1_match, true},
    {"f1", "release-f1", f1, true},
    {"exact_match", "release-f1", exact_match, true},
    {"rouge_l_recall", "sentences at full stops, words at white space", rouge_l_recall},
    {"edit_similarity", "first line of code", edit_similarity},
    {"accuracy", "option letter, which is no article", accuracy},
    {"includes", "lower case, punctuation as blanks", includes},
};

const Metric& find_metric(std::string_view name) {
  for (const Metric& metric : kMetrics) {
    if (metric.name == name) return metric;
  }
  fail(Exit::kUsage, "Unknown metric '{}'.{} Known: {}.", name, did_you_mean(name, metric_names()),
       join(metric_names(), ", "));
}

const WordNet* dictionary(const Metric& metric, Lemmas lemmas) {
  if (!metric.lemmas || lemmas == Lemmas::kWithout) return nullptr;
  const WordNet* installed = WordNet::installed();
  if (installed == nullptr && lemmas == Lemmas::kWith) {
    fail(
        Exit::kEnvironment,
        "Lemmas need WordNet's dictionary, which is not in '{}': install Debian's wordnet-base, or "
        "set WNSEARCHDIR to the folder that holds it.",
        WordNet::folder().string());
  }
  return installed;
}

}  // namespace

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> found;
    for (const Metric& metric : kMetrics) found.emplace_back(metric.name);
    return found;
  }();
  return names;
}

double score(std::string_view metric, std::string_view answer, std::span<const std::string> answers,
             Lemmas lemmas) {
  const Metric& found = find_metric(metric);
  const WordNet* words = dictionary(found, lemmas);
  double best = 0;
  for (const std::string& expected : answers) {
    best = std::max(best, found.score({answer, expected, words}));
    if (best == 1) break;
  }
  return best;
}

std::string normalisation_name(std::string_view metric, Lemmas lemmas) {
  const Metric& found = find_metric(metric);
  std::string name(found.normalisation);
  if (!found.lemmas) return name;
  const WordNet* words = dictionary(found, lemmas);
  return name + (words == nullptr ? ", words not lemmatised"
                                  : fmt::format(", WordNet {} lemmas", words->version()));
}

std::string lemmas_fingerprint(std::string_view metric, Lemmas lemmas) {
  const WordNet* words = dictionary(find_metric(metric), lemmas);
  return words == nullptr ? "" : words->fingerprint();
}

void warn_without_lemmas(std::string_view metric) {
  const Metric& found = find_metric(metric);
  if (!found.lemmas || WordNet::installed() != nullptr) return;
  static std::once_flag once;
  std::call_once(once, [&] {
    spdlog::warn(
        "There is no WordNet dictionary in '{}': {} compares words as they are, not their lemmas. "
        "The paper's scores are with lemmas: install Debian's wordnet-base, or set WNSEARCHDIR to "
        "the folder that holds it.",
        WordNet::folder().string(), found.name);
  });
}

}  // namespace kvcomm
