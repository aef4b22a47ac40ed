// Cuts a text into words before BPE: tokenizer.json's Split, Digits and ByteLevel, each as a
// regular expression with a behaviour.
#pragma once

#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace kvcomm {

class PreTokenizer {
 public:
  // From tokenizer.json's "pre_tokenizer". Fails (kEnvironment) on a type that is not known, and
  // unless ByteLevel is the last step: the model reads bytes.
  explicit PreTokenizer(const nlohmann::json& component);

  // The words, in order, as views of the text or of `made` (words that got a prefix space).
  std::vector<std::string_view> split(std::string_view text, std::deque<std::string>& made) const;

 private:
  enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
  struct Step {
    Regex regex;
    Behavior behavior = Behavior::kIsolated;
    bool invert = false;  // what lies between the matches counts as the match
  };

  static Behavior behavior_named(const std::string& name);
  static void apply(const Step& step, std::string_view text, std::vector<std::string_view>& words);
  void add(const nlohmann::json& component);

  std::vector<Step> steps_;
  std::optional<Step> byte_level_step_;  // ByteLevel's own, after the prefix space
  bool byte_level_ = false;
  bool add_prefix_space_ = false;
};

}  // namespace kvcomm
