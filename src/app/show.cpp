#include "app/show.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "app/tables.h"
#include "base/text.h"
#include "store/results_file.h"

namespace kvcomm {

namespace {

constexpr size_t kTextWidth = 72;  // of questions and answers, in characters

// Lines of at most that many characters, broken at spaces where there are some.
std::vector<std::string> wrapped(std::string_view text) {
  std::vector<std::string> lines;
  while (true) {
    size_t end = 0, space = 0;
    for (size_t characters = 0; end < text.size() && text[end] != '\n'; ++end) {
      const bool begins = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
      if (begins && characters++ == kTextWidth) break;
      if (text[end] == ' ') space = end;
    }
    const bool whole = end == text.size() || text[end] == '\n';
    if (!whole && space > 0) end = space;
    lines.emplace_back(text.substr(0, end));
    if (end == text.size()) return lines;
    text.remove_prefix(end + (whole || text[end] == ' ' ? 1 : 0));
  }
}

// A name, then the text beside it.
std::string paragraph(const std::string& name, const std::string& text) {
  std::string paragraph;
  for (const std::string& line : wrapped(strip(text))) {
    paragraph += fmt::format("{:<10}{}\n", paragraph.empty() ? name : "", line);
  }
  return paragraph;
}

std::vector<std::string> distinct(const std::vector<std::string>& names) {
  std::vector<std::string> found;
  for (const std::string& name : names) {
    if (std::ranges::find(found, name) == found.end()) found.push_back(name);
  }
  return found;
}

// The data set that is meant, among those of the cells.
std::string the_dataset(const ShowArguments& arguments, const std::vector<std::string>& of_cells) {
  const std::vector<std::string> names = distinct(of_cells);
  if (names.empty()) fail(Exit::kUsage, "'{}' has no cells yet.", arguments.results);
  if (arguments.dataset.empty() && names.size() == 1) return names.front();
  if (std::ranges::find(names, arguments.dataset) != names.end()) return arguments.dataset;
  if (arguments.dataset.empty()) {
    fail(Exit::kUsage, "'{}' has several data sets, so name one with --dataset: {}.",
         arguments.results, join(names, ", "));
  }
  fail(Exit::kUsage, "'{}' has no data set '{}'; it has {}.{}", arguments.results,
       arguments.dataset, join(names, ", "), did_you_mean(arguments.dataset, names));
}

// A place in the evaluated order, and the sample that has it: one for each order in which runs of
// the folder took the data set (for one sender and for several, say).
using Samples = std::set<std::pair<uint32_t, std::string>>;

// Those that are meant, among those with a row.
Samples the_samples(const ShowArguments& arguments, const std::string& dataset,
                    const Samples& ids) {
  Samples found;
  for (const auto& [sample, id] : ids) {
    if (arguments.sample == std::to_string(sample)) found.emplace(sample, id);
  }
  for (const auto& [sample, id] : ids) {
    if (found.empty() && arguments.sample == id) return {{sample, id}};
  }
  if (!found.empty()) return found;
  if (ids.empty()) {
    fail(Exit::kUsage, "No sample of '{}' is answered in '{}' yet.", dataset, arguments.results);
  }
  fail(Exit::kUsage, "'{}' has no sample '{}' of '{}'; it has {} from {} ('{}') to {} ('{}').",
       arguments.results, arguments.sample, dataset, ids.size(), ids.begin()->first,
       ids.begin()->second, ids.rbegin()->first, ids.rbegin()->second);
}

// What was asked. A data set that changed between runs (all.h5) has asked several things.
std::string question_text(H5Content& content, const std::string& dataset, uint32_t number,
                          const std::string& id) {
  std::string text;
  Table* questions = find_table(content, "questions");
  for (size_t row = 0; questions != nullptr && row < questions->rows; ++row) {
    const auto text_of = [&](const char* name) {
      return column<std::string>(*questions, name)[row];
    };
    if (text_of("dataset") != dataset) continue;
    if (column<uint32_t>(*questions, "sample")[row] != number) continue;
    if (text_of("sample_id") != id) continue;
    const auto answers = nlohmann::json::parse(text_of("answers"), nullptr, false);
    std::vector<std::string> accepted;
    for (const auto& answer : answers)
      accepted.push_back(answer.is_string() ? answer.get<std::string>() : answer.dump());
    std::string one = paragraph("question", text_of("question"));
    one += paragraph("gold", join(accepted, " | "));
    if (const std::string context = text_of("context"); !context.empty()) {
      one += paragraph("context", context);
    }
    if (text.find(one) == std::string::npos) text += one;  // asked in another order of the data too
  }
  return text.empty() ? "Its question is not in this file, which an older version wrote: run the "
                        "sweep again to add it.\n"
                      : text;
}

// Why the last attempt at a cell's sample failed.
std::string failure_text(H5Content& content, int32_t cell, uint32_t number) {
  Table& failures = table(content, "failures");
  std::string what;
  for (size_t row = 0; row < failures.rows; ++row) {
    if (column<int32_t>(failures, "cell")[row] == cell &&
        column<uint32_t>(failures, "sample")[row] == number) {
      what = column<std::string>(failures, "what")[row];
    }
  }
  return what.empty() ? "failed" : "failed: " + what;
}

// A line for each cell that has a row for the sample, more where its answer is long.
std::string answers_text(H5Content& content, const std::string& dataset, uint32_t number,
                         const std::string& id) {
  Table& samples = table(content, "samples");
  const auto& pairs = column<std::string>(samples, "pair");
  const auto* variants = find_column<std::string>(samples, "variant");
  std::vector<std::vector<std::string>> lines{{"pair", "method", "score", "sent", "answer"}};
  for (size_t row = 0; row < samples.rows; ++row) {
    if (column<std::string>(samples, "dataset")[row] != dataset) continue;
    if (column<uint32_t>(samples, "sample")[row] != number) continue;
    if (column<std::string>(samples, "sample_id")[row] != id) continue;
    const bool failed = column<uint8_t>(samples, "failed")[row] != 0;
    const nlohmann::json answer = column<std::string>(samples, "answer")[row];
    std::string method = column<std::string>(samples, "method")[row];
    if (variants != nullptr) method += in_brackets((*variants)[row]);
    const std::vector<std::string> pieces =
        wrapped(failed ? failure_text(content, column<int32_t>(samples, "cell")[row], number)
                       : answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    const auto bytes = static_cast<double>(column<uint64_t>(samples, "payload_bytes")[row]);
    lines.push_back({pairs[row], method,
                     fmt::format("{:.3f}", column<double>(samples, "score")[row]),
                     bytes_text(bytes), pieces.front()});
    for (size_t i = 1; i < pieces.size(); ++i) lines.push_back({"", "", "", "", pieces[i]});
  }
  if (distinct(pairs).size() == 1) {
    for (auto& line : lines) line.erase(line.begin());
  }
  return text_table(lines, lines.front().size());
}

}  // namespace

void add_show_options(CLI::App& command, ShowArguments& arguments) {
  command.add_option("results", arguments.results, "A results.h5 or all.h5, or the folder of one")
      ->required();
  command.add_option("--dataset", arguments.dataset, "The sample's data set, where there are more");
  command
      .add_option("--sample", arguments.sample,
                  "Its place in the data set's evaluated order, from 0, or its id")
      ->required();
  command.footer("Example: kvcomm show results/sweep --dataset countries --sample 3");
}

Exit show_command(const ShowArguments& arguments) {
  H5Content content = read_results(results_path(arguments.results));
  const std::string dataset =
      the_dataset(arguments, column<std::string>(table(content, "cells"), "dataset"));
  Table& samples = table(content, "samples");
  Samples ids;
  for (size_t row = 0; row < samples.rows; ++row) {
    if (column<std::string>(samples, "dataset")[row] != dataset) continue;
    ids.emplace(column<uint32_t>(samples, "sample")[row],
                column<std::string>(samples, "sample_id")[row]);
  }
  std::string text;
  for (const auto& [number, id] : the_samples(arguments, dataset, ids)) {
    text += fmt::format("{}{}, sample {} ({})\n\n{}\n{}", text.empty() ? "" : "\n", dataset, number,
                        id, question_text(content, dataset, number, id),
                        answers_text(content, dataset, number, id));
  }
  std::fputs(text.c_str(), stdout);
  return Exit::kOk;
}

}  // namespace kvcomm
