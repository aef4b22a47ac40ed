#include "text/prompts.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/nesting.h"
#include "base/text.h"
#include "text/built_in_prompts.h"

namespace kvcomm {
namespace {

const std::vector<std::string> kKeys = {
    "sender",       "receiver",       "skyline",       "baseline",        "refine",
    "other_answer", "sender_summary", "answer_prefix", "question_suffix", "think_prefix"};

// Keys that need not be written.
const std::map<std::string, std::string, std::less<>> kDefaults = {
    {"other_answer", "{answer}"},
    {"question_suffix", ""},
    {"answer_prefix", ""},
    {"think_prefix", "</think>\n\n"}};

// What a prompt is there to ask about.
const std::map<std::string, std::vector<std::string>, std::less<>> kPlaceholders = {
    {"sender", {"context"}},
    {"sender_summary", {"context"}},
    {"receiver", {"question"}},
    {"baseline", {"question"}},
    {"skyline", {"context", "question"}},
    {"refine", {"prompt", "own_answer", "other_answers"}},
    {"other_answer", {"answer"}}};

bool is_table_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

int line_of(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

// The size of the placeholder that begins at `at`, and its value; none if no name fits.
const PromptValue* placeholder_at(std::string_view pattern, size_t at,
                                  std::span<const PromptValue> values) {
  for (const PromptValue& value : values) {
    const auto& name = value.first;
    if (pattern.substr(at + 1).starts_with(name) &&
        pattern.substr(at + 1 + name.size()).starts_with('}')) {
      return &value;
    }
  }
  return nullptr;
}

}  // namespace

std::string fill(std::string_view pattern, std::span<const PromptValue> values) {
  std::string filled;
  for (size_t at = 0; at < pattern.size();) {
    const PromptValue* value = pattern[at] == '{' ? placeholder_at(pattern, at, values) : nullptr;
    if (value == nullptr) {
      filled += pattern[at++];
    } else {
      filled += value->second;
      at += value->first.size() + 2;
    }
  }
  return filled;
}

Prompts Prompts::built_in() { return Prompts(kBuiltInPrompts, "the built-in prompts"); }

Prompts Prompts::load(const std::filesystem::path& toml) {
  return Prompts(read_file(toml), "'" + toml.string() + "'");
}

Prompts::Prompts(std::string_view toml, std::string source) : source_(std::move(source)) {
  require_short_keys(toml, source_);
  toml::table root;
  try {
    root = toml::parse(toml);
  } catch (const toml::parse_error& error) {
    fail(Exit::kUsage, "In {}, line {}: {}.", source_, error.source().begin.line,
         error.description());
  }
  for (const auto& [name, node] : root) {
    if (!node.is_table()) {
      fail(Exit::kUsage, "In {}, line {}: '{}' stands outside a table; put it below [qa], say.",
           source_, line_of(node), name.str());
    }
    if (!is_table_name(name.str())) {
      fail(Exit::kUsage,
           "In {}, line {}: the table [{}] can be no data set's; names are of a-z, 0-9, _ and -.",
           source_, line_of(node), name.str());
    }
    Table& table = tables_[std::string(name.str())];
    for (const auto& [key, value] : *node.as_table()) {
      if (std::find(kKeys.begin(), kKeys.end(), key.str()) == kKeys.end()) {
        fail(Exit::kUsage,
             "In {}, line {}: [{}] has '{}', which is no prompt key.{} The keys are {}.", source_,
             line_of(value), name.str(), key.str(), did_you_mean(key.str(), kKeys),
             join(kKeys, ", "));
      }
      if (!value.is_string()) {
        fail(Exit::kUsage, "In {}, line {}: [{}] {} is no text; put it in quotation marks.",
             source_, line_of(value), name.str(), key.str());
      }
      table.emplace(key.str(), value.as_string()->get());
    }
  }
}

const std::string* Prompts::find(std::string_view dataset, std::string_view kind,
                                 std::string_view key) const {
  for (const std::string_view name : {dataset, kind}) {
    const auto table = tables_.find(name);
    if (table == tables_.end()) continue;
    if (const auto text = table->second.find(key); text != table->second.end())
      return &text->second;
  }
  const auto text = kDefaults.find(key);
  return text == kDefaults.end() ? nullptr : &text->second;
}

std::string Prompts::text(std::string_view dataset, std::string_view kind,
                          std::string_view key) const {
  if (const std::string* found = find(dataset, kind, key)) return *found;
  std::vector<std::string> names;
  for (const auto& [name, table] : tables_) names.push_back(name);
  fail(Exit::kUsage,
       "There is no prompt '{}' for data set '{}' in {}: add it to table [{}] or [{}].{}", key,
       dataset, source_, dataset, kind, tables_.contains(kind) ? "" : did_you_mean(kind, names));
}

std::vector<std::string> Prompts::left_out(std::string_view dataset, std::string_view kind,
                                           std::string_view key) const {
  const auto expected = kPlaceholders.find(key);
  if (expected == kPlaceholders.end()) return {};
  const std::string given = text(dataset, kind, key);
  std::vector<std::string> missing;
  for (const std::string& name : expected->second) {
    if (given.find("{" + name + "}") == std::string::npos) missing.push_back("{" + name + "}");
  }
  return missing;
}

bool Prompts::has(std::string_view dataset, std::string_view kind, std::string_view key) const {
  return find(dataset, kind, key) != nullptr;
}

std::string Prompts::prompt(std::string_view dataset, std::string_view kind, std::string_view key,
                            std::span<const PromptValue> values) const {
  std::string question;
  std::vector<PromptValue> with_suffix(values.begin(), values.end());
  for (PromptValue& value : with_suffix) {
    if (value.first != "question") continue;
    question = std::string(value.second) + text(dataset, kind, "question_suffix");
    value.second = question;
  }
  return fill(text(dataset, kind, key), with_suffix);
}

}  // namespace kvcomm
