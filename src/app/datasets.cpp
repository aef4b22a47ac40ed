#include "app/datasets.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include "app/tables.h"
#include "data/dataset.h"
#include "plan/plan.h"
#include "text/tokenizer.h"

namespace kvcomm {

namespace {

using Tokens = std::vector<size_t>;

// "median / 95th percentile / largest"
std::string lengths_text(Tokens tokens) {
  std::ranges::sort(tokens);
  const auto rank = [&](size_t percent) {
    return tokens[(tokens.size() * percent + 99) / 100 - 1];
  };
  return fmt::format("{} / {} / {}", rank(50), rank(95), tokens.back());
}

// The lengths of contexts and of questions.
std::vector<std::string> length_cells(const Dataset& dataset, const Tokenizer& tokenizer) {
  Tokens contexts, questions;
  for (const Sample& sample : dataset.samples) {
    size_t tokens = 0;
    for (const std::string& context : sample.contexts) {
      tokens += tokenizer.encode(context, /*add_special_tokens=*/false).size();
    }
    contexts.push_back(tokens);
    questions.push_back(tokenizer.encode(sample.question, /*add_special_tokens=*/false).size());
  }
  return {lengths_text(std::move(contexts)), lengths_text(std::move(questions))};
}

// How many samples the published data give, "500 of 7405" where they are drawn.
std::string published_text(const DatasetInfo& info) {
  const std::string records = info.records == 0 ? "any" : std::to_string(info.records);
  return info.sampled == 0 ? records : fmt::format("{} of {}", info.sampled, records);
}

}  // namespace

std::string datasets_text(const ListArguments& arguments) {
  std::optional<Tokenizer> tokenizer;
  if (!arguments.model.empty()) {
    Config config;
    config.paths.models = arguments.models;
    tokenizer.emplace(Tokenizer::load(model_folder(config, arguments.model)));
  }
  std::vector<std::string> head{"data set", "samples", "published", "metric", "new tokens"};
  if (tokenizer) head.insert(head.end(), {"context tokens", "question tokens"});
  head.push_back("read from, or what fetches it");
  std::vector<std::vector<std::string>> rows{head};
  std::string notes;
  for (const DatasetInfo& info : dataset_table()) {
    std::vector<std::string> row{info.name, "-", published_text(info), info.metric,
                                 std::to_string(info.max_new_tokens)};
    std::vector<std::string> lengths(tokenizer ? 2 : 0, "-");
    std::string from = "missing: " + fetch_command(info, arguments.data);
    try {
      const auto path = look_for_dataset(info.name, arguments.data);
      if (path) {
        const Dataset dataset = parts_of_mix(info.name).empty() ? load_dataset(info.name, *path)
                                                                : load_mix(info, arguments.data);
        row[1] = std::to_string(dataset.samples.size());
        if (tokenizer) lengths = length_cells(dataset, *tokenizer);
        from = dataset.path.string();
        if (!dataset.warning.empty()) notes += dataset.warning + "\n";
      }
    } catch (const Error& error) {
      from = "see below";
      notes += fmt::format("{}: {}\n", info.name, error.what());
    }
    row.insert(row.end(), lengths.begin(), lengths.end());
    row.push_back(from);
    rows.push_back(std::move(row));
  }
  const char* legend = tokenizer ? "\nTokens: median / 95th percentile / longest.\n" : "";
  return text_table(rows, head.size()) + legend + (notes.empty() ? "" : "\n" + notes);
}

}  // namespace kvcomm
