#include "data/formats.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/text.h"
#include "base/utf8.h"
#include "base/whole.h"

namespace kvcomm {

namespace {

using nlohmann::json;

// The release compares len(context) with this (official_behaviour.md, 17).
constexpr size_t kRepoBenchCharacters = 5000;

// Texts that a context is put together from must hold something.
std::vector<std::string> required_texts(const Record& record, std::vector<std::string> texts,
                                        std::string_view source) {
  const auto holds = [](const std::string& text) { return !strip(text).empty(); };
  if (std::ranges::any_of(texts, holds)) return texts;
  fail(Exit::kUsage, "{}: its context, made of {}, is empty: correct the record or take it out.",
       record.place(), source);
}

// A part of a record, as what it must be.
template <typename T>
T part(const Record& record, const json& value, std::string_view what) {
  try {
    return value.get<T>();
  } catch (const json::exception&) {
    fail(Exit::kUsage, "{}: {} is {}, which its form does not have there.", record.place(), what,
         value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 60));
  }
}

// The records in a field that is an array of them, with places as "musique.jsonl:5, paragraphs[0]".
std::vector<Record> parts(const Record& record, std::string_view name) {
  std::vector<Record> found;
  for (json& entry :
       part<std::vector<json>>(record, record.field(name), fmt::format("'{}'", name))) {
    found.emplace_back(std::move(entry),
                       fmt::format("{}, {}[{}]", record.place(), name, found.size()));
  }
  return found;
}

// ---- HotpotQA

using Titled = std::pair<std::string, std::vector<std::string>>;  // a paragraph's title, sentences
using Fact = std::pair<std::string, Integer<int64_t>>;            // a title, a sentence's place

// Sentences in the order of the facts; a fact whose title or sentence is not there is passed over.
std::vector<std::string> supporting_sentences(const std::vector<Titled>& paragraphs,
                                              const std::vector<Fact>& facts) {
  std::vector<std::string> found;
  for (const auto& [title, place] : facts) {
    for (const auto& [name, sentences] : paragraphs) {
      if (name == title && place >= 0 && static_cast<size_t>(place) < sentences.size()) {
        found.push_back(sentences[static_cast<size_t>(place)]);
      }
    }
  }
  return found;
}

std::optional<Sample> hotpot_sample(const Record& record, const char* id,
                                    const std::vector<Titled>& paragraphs,
                                    const std::vector<Fact>& facts) {
  return Sample{.id = record.id(id),
                .contexts = required_texts(record, supporting_sentences(paragraphs, facts),
                                           "the sentences that supporting_facts names"),
                .question = record.text("question"),
                .answers = {record.text("answer")}};
}

std::optional<Sample> read_hotpot(const Record& record) {
  return hotpot_sample(
      record, "_id", part<std::vector<Titled>>(record, record.field("context"), "'context'"),
      part<std::vector<Fact>>(record, record.field("supporting_facts"), "'supporting_facts'"));
}

// Two columns of one table, row by row.
template <typename Second>
std::vector<std::pair<std::string, Second>> zipped(const Record& record, std::string_view name,
                                                   const char* first, const char* second) {
  using Columns = std::map<std::string, json>;
  const auto columns = part<Columns>(record, record.field(name), fmt::format("'{}'", name));
  for (const char* column : {first, second}) {
    if (columns.contains(column)) continue;
    fail(Exit::kUsage, "{}: '{}' has no '{}'.", record.place(), name, column);
  }
  const auto of = [&](const char* column) { return fmt::format("'{}.{}'", name, column); };
  const auto left = part<std::vector<std::string>>(record, columns.at(first), of(first));
  auto right = part<std::vector<Second>>(record, columns.at(second), of(second));
  if (left.size() != right.size()) {
    fail(Exit::kUsage, "{}: {} has {} entries, {} has {}: they go together.", record.place(),
         of(first), left.size(), of(second), right.size());
  }
  std::vector<std::pair<std::string, Second>> rows;
  for (size_t i = 0; i < left.size(); ++i) rows.emplace_back(left[i], std::move(right[i]));
  return rows;
}

std::optional<Sample> read_hotpot_hub(const Record& record) {
  return hotpot_sample(record, "id",
                       zipped<std::vector<std::string>>(record, "context", "title", "sentences"),
                       zipped<Integer<int64_t>>(record, "supporting_facts", "title", "sent_id"));
}

// ---- the others

std::optional<Sample> read_countries(const Record& record) {
  return Sample{.id = record.id("id"),
                .contexts = {record.text("prompt_A")},
                .question = record.text("prompt_B"),
                .answers = {record.text("y")}};
}

std::optional<Sample> read_tipsheets(const Record& record) {
  return Sample{.id = record.id("id"),
                .contexts = {record.text("prompt_A")},
                .question = record.text("prompt_B"),
                .answers = {record.text("label")}};
}

std::optional<Sample> read_demo(const Record& record) {
  return Sample{.id = record.id("id"),
                .contexts = {record.text("context")},
                .question = record.text("question"),
                .answers = record.texts("answers")};
}

// Supporting paragraphs' texts without titles, in file order; unanswerable ones are left out.
std::optional<Sample> read_musique(const Record& record) {
  if (!part<bool>(record, record.field("answerable"), "'answerable'")) return std::nullopt;
  std::vector<std::string> texts;
  for (const Record& paragraph : parts(record, "paragraphs")) {
    if (part<bool>(paragraph, paragraph.field("is_supporting"), "'is_supporting'")) {
      texts.push_back(paragraph.text("paragraph_text"));
    }
  }
  std::vector<std::string> answers{record.text("answer")};
  std::ranges::move(
      part<std::vector<std::string>>(record, record.field("answer_aliases"), "'answer_aliases'"),
      std::back_inserter(answers));
  return Sample{.id = record.id("id"),
                .contexts = required_texts(record, std::move(texts), "supporting paragraphs"),
                .question = record.text("question"),
                .answers = std::move(answers)};
}

// A question with several answers is a record for each, and each is a sample (so the release counts
// 1,726); `pid` tells them apart, where `id` repeats.
std::optional<Sample> read_scrolls(const Record& record) {
  const std::string input = record.text("input");
  const size_t blank = input.find("\n\n");
  if (blank == std::string::npos) {
    fail(Exit::kUsage, "{}: 'input' has no blank line between the question and the text.",
         record.place());
  }
  std::string question(strip(std::string_view(input).substr(0, blank)));
  if (question.empty()) {
    fail(Exit::kUsage, "{}: 'input' has no question before its first blank line.", record.place());
  }
  return Sample{.id = record.id(record.has("pid") ? "pid" : "id"),
                .contexts = required_texts(record, {std::string(strip(input.substr(blank)))},
                                           "what follows the first blank line of 'input'"),
                .question = std::move(question),
                .answers = {record.text("output")}};
}

// Its code completion has no questions.
std::optional<Sample> read_longbench(const Record& record) {
  const bool code = longbench_part(record) == "repobench-p";
  return Sample{.id = record.id("_id"),
                .contexts = {record.text("context")},
                .question = code ? record.text_or_blank("input") : record.text("input"),
                .answers = record.texts("answers")};
}

std::optional<Sample> read_longbench_hub(const Record& record) {
  const bool code = longbench_part(record) == "repobench-p";
  return Sample{.id = record.id("_id"),
                .contexts = {record.text("context")},
                .question = code ? record.text_or_blank("question") : record.text("question"),
                .answers = record.texts("answers")};
}

// Four line ends and more in a row become two.
std::string without_gaps(std::string_view text) {
  std::string kept;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_not_of('\n', at), text.size());
    const size_t breaks = end - at;
    kept.append(breaks >= 4 ? 2 : breaks, '\n');
    const size_t next = std::min(text.find('\n', end), text.size());
    kept += text.substr(end, next - end);
    at = next;
  }
  return kept;
}

// RepoBench's own layout of a prompt, cut between the other files and the file to complete.
std::optional<Sample> read_repobench(const Record& record) {
  std::string context = fmt::format("# Repo Name: {}\n", record.text("repo_name"));
  for (const Record& file : parts(record, "context")) {
    context += fmt::format("# Path: {}\n{}\n\n", file.text("path"), file.text_or_blank("snippet"));
  }
  context = without_gaps(context);
  if (count_characters(context) >= kRepoBenchCharacters) return std::nullopt;
  return Sample{
      .id = record.place(),
      .contexts = {std::move(context)},
      .question = without_gaps(fmt::format("# Path: {}\n{}\n{}\n", record.text("file_path"),
                                           record.text_or_blank("import_statement"),
                                           record.text_or_blank("cropped_code"))),
      .answers = {record.text("next_line")}};
}

// The first half of the lines, rounded down, is the sender's: of one line, nothing.
std::optional<Sample> read_samsum(const Record& record) {
  const std::string dialogue(strip(record.text("dialogue")));
  const auto lines = static_cast<size_t>(std::ranges::count(dialogue, '\n')) + 1;
  size_t cut = 0;
  for (size_t line = 0; line < lines / 2; ++line) cut = dialogue.find('\n', cut) + 1;
  return Sample{.id = record.id("id"),
                .contexts = {std::string(strip(dialogue.substr(0, cut)))},
                .question = std::string(strip(dialogue.substr(cut))),
                .answers = {record.text("summary")}};
}

std::optional<Sample> read_tmath(const Record& record) {
  return Sample{.id = record.place(),
                .contexts = {record.text("socratic_questions")},
                .question = record.text("problem"),
                .answers = {record.text("solution")}};
}

// ---- how they are recognised

bool is_array(const Record& record, std::string_view name) {
  return record.has(name) && record.field(name).is_array();
}

bool marked_longbench(const Record& record) {
  return record.has("all_classes") || record.has("task") || record.has("dataset");
}

bool fits_longbench(const Record& record) {
  return record.has("input") && !record.has("output") &&
         (record.has("context") || record.has("answers"));
}

bool fits_longbench_hub(const Record& record) {
  return record.has("question") && record.has_text("context") && marked_longbench(record);
}

bool fits_hotpot(const Record& record) {
  return record.has("supporting_facts") && !record.has("evidences") &&
         (is_array(record, "context") || is_array(record, "supporting_facts"));
}

bool fits_hotpot_hub(const Record& record) {
  return record.has("supporting_facts") && !record.has("evidences") && !fits_hotpot(record);
}

bool fits_two_wiki(const Record& record) {
  return record.has("supporting_facts") && record.has("evidences");
}

bool fits_countries(const Record& record) { return record.has("prompt_A") && record.has("y"); }
bool fits_tipsheets(const Record& record) { return record.has("prompt_A") && record.has("label"); }
bool fits_musique(const Record& record) { return record.has("paragraphs"); }
bool fits_scrolls(const Record& record) { return record.has("input") && record.has("output"); }
bool fits_repobench(const Record& record) { return record.has("cropped_code"); }
bool fits_samsum(const Record& record) { return record.has("dialogue"); }
bool fits_tmath(const Record& record) { return record.has("socratic_questions"); }

bool fits_demo(const Record& record) {
  return record.has_text("context") && record.has("question") && record.has("answers") &&
         !marked_longbench(record);
}

}  // namespace

const Form kCountries{"countries", fits_countries, read_countries};
const Form kTipsheets{"tipsheets", fits_tipsheets, read_tipsheets};
const Form kDemo{"the demo's data", fits_demo, read_demo};
const Form kHotpot{"HotpotQA's own JSON", fits_hotpot, read_hotpot};
const Form kHotpotHub{"the hub's hotpot_qa", fits_hotpot_hub, read_hotpot_hub};
const Form kTwoWiki{"2WikiMultihopQA's own JSON", fits_two_wiki, nullptr};
const Form kMusique{"MuSiQue's jsonl", fits_musique, read_musique};
const Form kScrolls{"SCROLLS' qasper", fits_scrolls, read_scrolls};
const Form kLongBench{"LongBench's jsonl", fits_longbench, read_longbench};
const Form kLongBenchHub{"the hub's LongBench with its instructions", fits_longbench_hub,
                         read_longbench_hub};
const Form kRepoBench{"RepoBench v1.1", fits_repobench, read_repobench};
const Form kSamsum{"SAMSum", fits_samsum, read_samsum};
const Form kTmath{"TMATH", fits_tmath, read_tmath};

std::span<const Form* const> all_forms() {
  static const Form* const forms[] = {
      &kCountries, &kTipsheets, &kDemo,      &kTwoWiki,      &kHotpot, &kHotpotHub, &kMusique,
      &kScrolls,   &kLongBench, &kRepoBench, &kLongBenchHub, &kSamsum, &kTmath};
  return forms;
}

std::string longbench_part(const Record& record) {
  for (const char* name : {"dataset", "task"}) {
    if (record.has_text(name)) return record.text_or_blank(name);
  }
  return "";
}

}  // namespace kvcomm
