// An agent: a language model with what turns messages into its tokens.
#pragma once

#include <memory>

#include "model/decoder.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace kvcomm {

// Both agents of a pair use the receiver's tokenizer and chat template (official_behaviour.md, "one
// tokenizer"), so that ids and positions mean the same at both ends.
struct Text {
  Tokenizer tokenizer;
  ChatTemplate chat;
};

struct Agent {
  std::shared_ptr<const Decoder> model;
  std::shared_ptr<const Text> text;
};

}  // namespace kvcomm
