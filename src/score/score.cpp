#include "score/score.h"

#include "base/error.h"
#include "base/text.h"
#include "score/metrics.h"

namespace kvcomm {

namespace {

struct Metric {
  std::string_view name;
  std::string_view normalisation;
  double (*score)(std::string_view answer, std::span<const std::string> answers);
};

constexpr Metric kMetrics[] = {
    {"f1_match", "release-f1, words not lemmatised", f1_match},
    {"includes", "lower case, punctuation as blanks", includes},
};

const Metric& find_metric(std::string_view name) {
  for (const Metric& metric : kMetrics) {
    if (metric.name == name) return metric;
  }
  fail(Exit::kUsage, "Unknown metric '{}'.{} Known: {}.", name, did_you_mean(name, metric_names()),
       join(metric_names(), ", "));
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

double score(std::string_view metric, std::string_view answer,
             std::span<const std::string> answers) {
  return find_metric(metric).score(answer, answers);
}

std::string normalisation_name(std::string_view metric) {
  return std::string(find_metric(metric).normalisation);
}

}  // namespace kvcomm
