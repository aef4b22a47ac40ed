// An agent: a language model with what turns messages into its tokens.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/energy.h"
#include "method/type.h"
#include "model/prefix_cache.h"
#include "select/fidelity.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace kvcomm {

// Both agents of a pair use the receiver's tokenizer and chat template (official_behaviour.md, "one
// tokenizer"), so that ids and positions mean the same at both ends.
struct Text {
  Tokenizer tokenizer;
  ChatTemplate chat;

  // The id of tokenizer_config.json's eos token, if it names one that the tokenizer has.
  std::optional<int64_t> eos() const { return tokenizer.id_of(chat.eos_token()); }
};

struct Agent {
  std::shared_ptr<const Decoder> model;
  std::shared_ptr<const Text> text;
  std::shared_ptr<PrefixCache> prefixes = {};  // the model's; nullptr: prompts are read whole
  std::shared_ptr<EnergyMeter> energy = {};    // its device's; nullptr: nothing tells
};

// The ids of the letters A, B, C and D, each a token by itself. Fails (kUsage) where one is not.
std::vector<int64_t> letter_ids(const Tokenizer& tokenizer);

// What an agent's model makes of a head beside tied embeddings.
OtherHead other_head(const Fidelity& fidelity);

// The fields of the fidelity that decide what such an agent says, whatever the method.
std::vector<std::string> deciding_fields(const Fidelity& fidelity, bool has_other_head,
                                         bool cleans_up_spaces);

}  // namespace kvcomm
