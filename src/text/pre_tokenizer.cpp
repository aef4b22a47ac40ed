#include "text/pre_tokenizer.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace kvcomm {
namespace {

using nlohmann::json;

// ByteLevel's own expression, GPT-2's.
constexpr std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace

PreTokenizer::PreTokenizer(const json& component) {
  if (!component.is_null()) add(component);
  if (!byte_level_) {
    fail(Exit::kEnvironment,
         "The tokenizer's pre-tokenizer {} has no 'ByteLevel' step; this program knows byte-level "
         "vocabularies only.",
         component.dump());
  }
}

PreTokenizer::Behavior PreTokenizer::behavior_named(const std::string& name) {
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  fail(Exit::kEnvironment,
       "The tokenizer's Split has the behavior '{}', which this program does not know.", name);
}

void PreTokenizer::add(const json& component) {
  const std::string type = component.value("type", "");
  if (byte_level_) {
    fail(Exit::kEnvironment,
         "The tokenizer's pre-tokenizer has '{}' after 'ByteLevel', which must be last.", type);
  }
  if (type == "Sequence") {
    for (const json& part : component.at("pretokenizers")) add(part);
  } else if (type == "Split") {
    const json& pattern = component.at("pattern");
    steps_.push_back(
        {Regex(pattern.contains("Regex") ? pattern["Regex"].get<std::string>()
                                         : Regex::literal(pattern.at("String").get<std::string>())),
         behavior_named(component.at("behavior")), component.at("invert")});
  } else if (type == "Digits") {
    const bool each = component.at("individual_digits");
    steps_.push_back({Regex("\\p{N}"), each ? Behavior::kIsolated : Behavior::kContiguous});
  } else if (type == "ByteLevel") {
    byte_level_ = true;
    add_prefix_space_ = component.at("add_prefix_space");
    if (component.value("use_regex", true)) byte_level_step_ = Step{Regex(kByteLevelPattern)};
  } else {
    fail(Exit::kEnvironment,
         "The tokenizer has a pre-tokenizer of type '{}'; this program knows Split, Digits, "
         "ByteLevel and Sequence.",
         type);
  }
}

void PreTokenizer::apply(const Step& step, std::string_view text,
                         std::vector<std::string_view>& words) {
  bool previous_is_match = false;
  const size_t before = words.size();
  const auto part = [&](size_t begin, size_t end, bool found) {
    const bool is_match = found != step.invert;
    bool joins = false;  // the word before it
    switch (step.behavior) {
      case Behavior::kRemoved:
        if (is_match) return;
        break;
      case Behavior::kIsolated:
        break;
      case Behavior::kMergedWithPrevious:
        joins = is_match && !previous_is_match;
        break;
      case Behavior::kMergedWithNext:
        joins = !is_match && previous_is_match;
        break;
      case Behavior::kContiguous:
        joins = is_match == previous_is_match;
        break;
    }
    previous_is_match = is_match;
    if (joins && words.size() > before) {
      words.back() = {words.back().data(), words.back().size() + (end - begin)};
    } else {
      words.push_back(text.substr(begin, end - begin));
    }
  };
  size_t done = 0;
  while (const auto match = step.regex.find(text, done)) {
    if (done < match->begin) part(done, match->begin, false);
    part(match->begin, match->end, true);
    done = match->end;
  }
  if (done < text.size()) part(done, text.size(), false);
}

std::vector<std::string_view> PreTokenizer::split(std::string_view text,
                                                  std::deque<std::string>& made) const {
  std::vector<std::string_view> words = {text};
  const auto apply_to_all = [&](const Step& step) {
    std::vector<std::string_view> next;
    for (const std::string_view word : words) apply(step, word, next);
    words = std::move(next);
  };
  for (const Step& step : steps_) apply_to_all(step);
  if (add_prefix_space_) {
    for (std::string_view& word : words) {
      if (!word.starts_with(' ')) word = made.emplace_back(" " + std::string(word));
    }
  }
  if (byte_level_step_) apply_to_all(*byte_level_step_);
  return words;
}

}  // namespace kvcomm
