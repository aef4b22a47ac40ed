// A sample's prompts as token ids: the data set's wording filled in, wrapped as a chat message,
// encoded.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "method/agent.h"
#include "method/type.h"
#include "model/generate.h"
#include "text/prompts.h"

namespace kvcomm {

// The ends of a pair whose models think before they answer (DeepSeek-R1-Distill): their templates
// open a thought, which is taken out of what is only read and closed before what is answered
// (official_behaviour.md, 11).
struct Thinking {
  bool sender = false, receiver = false;
  std::string end = {};  // ends the receiver's thought, before answer_prefix; "": nothing
};

class PromptBuilder {
 public:
  struct Options {
    std::string dataset, kind;  // the prompts' tables
    std::string date;           // that chat templates print
    int64_t max_input_tokens = 64000;
    bool truncates = false;  // cut what is longer in its middle; else such a sample fails
    Fidelity fidelity = Fidelity::paper();
    Thinking thinking;
  };

  PromptBuilder(Prompts prompts, std::shared_ptr<const Text> text, Options options);

  // The ids of each prompt, answer_prefix behind the receiver's and those of one model. Where the
  // data set truncates, the first and the last half are kept of what is longer than
  // max_input_tokens: of a sender's prompt, what the receiver's leaves room for
  // (official_behaviour.md, "long inputs" and 16). Several senders get equal shares of that room;
  // the last keeps its prompt's end, the others their beginning (13). Fails (kUsage) where a prompt
  // is missing from the prompts, or does not fit.
  std::vector<int64_t> sender(const Sample& sample, size_t sender,  // contexts[sender]
                              Reading reading = Reading::kContext) const;
  std::vector<int64_t> receiver(const Sample& sample) const;
  std::vector<int64_t> skyline(const Sample& sample, End answering) const;
  std::vector<int64_t> baseline(const Sample& sample, End answering) const;
  // Whichever of these a reading is, of that sender or of the end that answers.
  std::vector<int64_t> encoded(const Sample& sample, Reading reading, End by,
                               size_t sender = 0) const;

  // The second question to the receiver, which shows it its own first answer and the others'.
  Prompt refine(const Sample& sample, const std::string& own,
                std::span<const std::string> others) const;
  // With answers of vectors [steps, hidden] each: the text around them is encoded piece by piece,
  // and never truncated (official_behaviour.md, 16).
  Prompt refine(const Sample& sample, const at::Tensor& own,
                std::span<const at::Tensor> others) const;

  // What this data set's prompts begin with whatever the sample, one for each wording.
  std::vector<std::vector<int64_t>> heads() const;

  // Fails (kUsage) where the tokenizer cuts what ends a thought otherwise behind the prompt or in
  // front of answer_prefix than by itself: its ids would not be those that the model knows.
  void require_thought_ends(const Sample& sample) const;

  // What was said with these ids. One of `eos` that ended it is no part of it, whatever the
  // tokenizer takes it for.
  std::string said(std::span<const int64_t> ids, std::span<const int64_t> eos) const;

 private:
  bool thinks(End end) const {
    return end == End::kSender ? options_.thinking.sender : options_.thinking.receiver;
  }
  std::string text(const Sample& sample, std::string_view key) const {
    return prompts_.text(dataset_of(sample), options_.kind, key);
  }
  // In a mix a sample has the prompts of its own data set.
  const std::string& dataset_of(const Sample& sample) const {
    return sample.dataset.empty() ? options_.dataset : sample.dataset;
  }
  std::string fill(const Sample& sample, std::string_view key,
                   std::span<const PromptValue> values) const;
  std::string refine_message(const Sample& sample, const std::string& own,
                             std::span<const std::string> others) const;
  std::string question(std::string_view key, const Sample& sample) const;
  std::vector<int64_t> encode(const std::string& message) const;
  std::vector<int64_t> encode_for_one(std::string_view key, const Sample& sample,
                                      const std::string& message, End end) const;
  std::vector<int64_t> context_ids(const Sample& sample, size_t sender, Reading reading) const;
  std::vector<int64_t> made_up(const std::string& dataset, std::string_view key,
                               std::string_view text) const;
  void append(std::vector<int64_t>& ids, const std::string& text) const;
  void append_prefixes(std::vector<int64_t>& ids, const Sample& sample, End end) const;
  void keep_share(std::vector<int64_t>& ids, const Sample& sample, size_t sender,
                  Reading reading) const;
  void keep_ends(std::vector<int64_t>& ids, int64_t room) const;
  void require_fits(std::string_view key, const Sample& sample, size_t tokens) const;

  Prompts prompts_;
  std::shared_ptr<const Text> text_;
  Options options_;
};

}  // namespace kvcomm
