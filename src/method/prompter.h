// A sample's prompts as token ids: the data set's wording filled in, wrapped as a chat message,
// encoded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "method/agent.h"
#include "text/prompts.h"

namespace kvcomm {

class Prompter {
 public:
  struct Options {
    std::string dataset, kind;  // the prompts' tables
    std::string date;           // that chat templates print
    int64_t max_input_tokens = 64000;
  };

  Prompter(Prompts prompts, std::shared_ptr<const Text> text, Options options);

  // The ids of each prompt, answer_prefix behind those that are answered. Fails (kUsage) where a
  // prompt is missing from the prompts, or is longer than max_input_tokens.
  std::vector<int64_t> sender(const Sample& sample, size_t sender) const;  // contexts[sender]
  std::vector<int64_t> receiver(const Sample& sample) const;
  std::vector<int64_t> skyline(const Sample& sample) const;
  std::vector<int64_t> baseline(const Sample& sample) const;

  std::string decode(std::span<const int64_t> ids) const { return text_->tokenizer.decode(ids); }

 private:
  std::vector<int64_t> encode(std::string_view key, const Sample& sample,
                              const std::string& context, bool answered) const;

  Prompts prompts_;
  std::shared_ptr<const Text> text_;
  Options options_;
};

}  // namespace kvcomm
