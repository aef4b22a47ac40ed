// Requests and their answers: a packed prefill, then greedy decoding until each has ended.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "model/decoder.h"

namespace kvcomm {

struct Decoding {
  int64_t max_new_tokens = 0;
  std::vector<int64_t> eos;  // any of these ends the answer
};

// All that decides one answer.
struct Request {
  std::vector<int64_t> prompt;  // token ids, at least one
  std::vector<Past> past;       // one a sender; empty: nothing was received
  OwnStart start;
  Decoding decoding;
};

struct Answer {
  std::vector<int64_t> ids;  // generated, an ending eos included
  Seconds prefill_s = 0;     // its share of the batch's prefill, by tokens
  Seconds decode_s = 0;      // its share of the batch's decoding, by generated tokens
};

// Answers all requests as one batch. Greedy: of equal logits the lowest id wins. Layers that one
// request's past covers must be those that all cover (one method asks for a whole batch).
std::vector<Answer> generate(const Decoder& model, std::span<const Request> requests);

// Reads packed sequences of token ids and keeps their keys and values of every layer.
std::shared_ptr<const Context> read_context(const Decoder& model,
                                            std::span<const std::vector<int64_t>> sequences,
                                            const Observer& observer = {});

// Attention importance of each layer for each request, with the layers its past shares (method.md,
// A_l): the mean over heads and prompt tokens of the attention weight on the context.
// [requests][layers]
std::vector<std::vector<double>> context_importance(const Decoder& model,
                                                    std::span<const Request> requests);

}  // namespace kvcomm
