// The configuration's data sets: what is known of them, their samples, and what scores them.
#include <algorithm>
#include <functional>
#include <limits>

#include "base/log.h"
#include "base/text.h"
#include "plan/plan.h"
#include "score/score.h"

namespace kvcomm {

namespace fs = std::filesystem;

DatasetInfo info_of(const DatasetConfig& dataset) {
  if (dataset.is_own()) {
    return {.name = dataset.name,
            .kind = dataset.prompts.value(),
            .metric = dataset.metric.at(0),
            .max_new_tokens = static_cast<int>(dataset.max_new_tokens.value()),
            .records = 0,
            .sampled = dataset.shuffle.value() ? std::numeric_limits<size_t>::max() : 0,
            .truncates = true};
  }
  DatasetInfo info = dataset_info(dataset.name);
  if (dataset.shuffle.value_or(false)) info.sampled = info.records;
  if (!dataset.metric.empty()) info.metric = dataset.metric[0];
  return info;
}

std::span<const std::string> further_metrics(const DatasetConfig& dataset) {
  return std::span(dataset.metric).subspan(std::min<size_t>(dataset.metric.size(), 1));
}

std::map<std::string, double> unscored(const DatasetConfig& dataset) {
  std::map<std::string, double> scores;
  for (const std::string& metric : further_metrics(dataset)) scores[metric] = 0;
  return scores;
}

Dataset load_configured_dataset(const Config& config, size_t index, size_t senders) {
  const DatasetConfig& dataset = config.datasets.at(index);
  if (!parts_of_mix(dataset.name).empty()) {
    require_dealt(dataset.name, senders);
    return load_mix(info_of(dataset), config.paths.data);
  }
  const fs::path path = find_dataset(dataset.name, dataset.path, config.paths.data);
  if (dataset.is_own()) {
    return load_own_dataset(info_of(dataset),
                            {.context = dataset.context,
                             .question = *dataset.question,
                             .answers = dataset.answers.value(),
                             .id = dataset.id.value_or("")},
                            path, senders);
  }
  Dataset loaded = load_dataset(dataset.name, path, senders);
  loaded.info = info_of(dataset);
  return loaded;
}

int64_t sample_count(const Dataset& dataset) {
  return static_cast<int64_t>(dataset.path.empty() ? published_samples(dataset.info)
                                                   : dataset.samples.size());
}

int64_t max_new_tokens(const DatasetConfig& config, const DatasetInfo& info) {
  return config.max_new_tokens.value_or(info.max_new_tokens);
}

namespace {

// A sample whose accepted answers would score 0 themselves can never be answered: an option's text
// where its letter is compared, an article where words are.
void warn_of_answers(const Dataset& dataset, const std::string& metric) {
  const auto scores = [&](const Sample& sample) {
    return std::ranges::any_of(sample.answers, [&](const std::string& answer) {
      return score(metric, answer, std::span(&answer, 1)) > 0;
    });
  };
  const auto first = std::ranges::find_if_not(dataset.samples, scores);
  if (first == dataset.samples.end()) return;
  const auto count = std::count_if(first, dataset.samples.end(), std::not_fn(scores));
  spdlog::warn(
      "The metric {} gives every answer 0 in {} of {} samples of '{}', since it finds nothing to "
      "compare in what they accept; the first is '{}', which accepts '{}'.",
      metric, count, dataset.samples.size(), dataset.info.name, first->id,
      join(first->answers, "', '"));
}

}  // namespace

void warn_of_scores(const Dataset& dataset, const DatasetConfig& named) {
  std::vector<std::string> metrics{dataset.info.metric};
  std::ranges::copy(further_metrics(named), std::back_inserter(metrics));
  for (const std::string& metric : metrics) {
    warn_without_lemmas(metric);
    warn_of_answers(dataset, metric);
  }
}

}  // namespace kvcomm
