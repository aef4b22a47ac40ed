// Requests and their answers: a packed prefill in passes of bounded size, then greedy decoding
// until each has ended. Beside it, CIPHER's decoding into vectors, and what senders read.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "model/decoder.h"
#include "model/prefix_cache.h"

namespace kvcomm {

// A prompt's tokens, of which some are given as vectors in place of ids.
struct Prompt {
  static constexpr int64_t kVector = -1;  // stands for the next row of `vectors`

  std::vector<int64_t> ids;  // at least one
  at::Tensor vectors;        // [as many as ids holds kVector, hidden]; undefined: none

  size_t size() const { return ids.size(); }
};

struct Decoding {
  int64_t max_new_tokens = 0;
  std::vector<int64_t> eos;  // any of these ends the answer
  // Divides the positive logits of ids that came before, and multiplies the negative ones (Keskar
  // et al. 2019, as transformers has it): prompt and answer count, of a prompt with vectors the
  // answer alone. 1: none.
  double repetition_penalty = 1;
};

// All that decides one answer.
struct Request {
  Prompt prompt;
  std::vector<ContextView> past;  // one a sender; empty: nothing was received
  std::vector<OwnTokens> own;     // one a layer; empty: own tokens begin at position 0
  std::optional<Edit> edit;
  Decoding decoding;
  // Not empty: the answer is the one of these ids that is likeliest behind the prompt, without any
  // penalty; of equal ones the lowest.
  std::vector<int64_t> choices;
  // Of a prompt without past: so many of its first ids begin other prompts too, and may be taken
  // out of a PrefixCache. At least one id comes behind them.
  int64_t head = 0;
};

struct Answer {
  std::vector<int64_t> ids;  // generated, an ending eos included
  Seconds prefill_s = 0;     // its share of the batch's prefill, by tokens
  Seconds decode_s = 0;      // its share of the batch's decoding, by generated tokens
};

struct Generation {
  PrefixCache* prefixes = nullptr;  // where heads are taken from; nullptr: prompts are read whole
  // What this process must attend to in work that takes long; called between steps.
  std::function<void()> between_steps = {};
};

// Answers all requests as one batch. Greedy: of equal logits the lowest id wins.
std::vector<Answer> generate(const Decoder& model, std::span<const Request> requests,
                             const Generation& how = {});

// How CIPHER decodes (method.md; Pham et al. 2024): each step emits the mean of the embedding
// table, weighted by softmax(logits / temperature), and reads it as its next input.
struct VectorDecoding {
  int64_t max_steps = 0;
  double temperature = 1;
  int64_t eos = 0;  // ends the answer where it is the vector's nearest embedding by cosine
};

struct VectorAnswer {
  at::Tensor vectors;  // [steps, hidden], the ending one left out: may have no rows
  Seconds prefill_s = 0, decode_s = 0;
};

// As generate(); the requests' own Decoding is not read.
std::vector<VectorAnswer> generate_vectors(const Decoder& model, std::span<const Request> requests,
                                           const VectorDecoding& decoding,
                                           const Generation& how = {});

// How many first ids of each sequence may be taken out of `prefixes`; see Request::head.
struct Heads {
  PrefixCache* prefixes = nullptr;
  std::vector<int64_t> lengths;
};

// Reads packed sequences of token ids and keeps their keys and values of every layer.
std::shared_ptr<const Context> read_context(const Decoder& model,
                                            std::span<const std::vector<int64_t>> sequences,
                                            const Observer& observer = {}, const Heads& heads = {});

// What AC sends: the activations of each sequence's last token at the input of a layer, computed by
// the layers below it alone. [sequences, hidden]
at::Tensor last_hidden(const Decoder& model, std::span<const std::vector<int64_t>> sequences,
                       int64_t layer, const Observer& observer = {}, const Heads& heads = {});

// All activations at the input of a layer, computed by the layers below it alone: of each sequence
// [tokens, hidden], packed.
at::Tensor hidden_states(const Decoder& model, std::span<const std::vector<int64_t>> sequences,
                         int64_t layer, const Observer& observer = {});

// Reads sequences that are given as activations at the input of a layer, packed x [tokens, hidden],
// which is used up: their keys and values of that layer and those above it, and nothing of the
// layers below.
std::shared_ptr<const Context> read_from(const Decoder& model, const at::Tensor& x,
                                         std::span<const int64_t> tokens, int64_t layer);

// Attention importance of each layer for each request, with the layers its past shares (method.md,
// A_l): the mean over heads and prompt tokens of the attention weight on the context.
// [requests][layers]
std::vector<std::vector<double>> context_importance(const Decoder& model,
                                                    std::span<const Request> requests,
                                                    const ops::ShareRule& rule = {});

}  // namespace kvcomm
