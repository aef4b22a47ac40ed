// What becomes of a decoding step's logits: an id a sequence, or CIPHER's vector.
#pragma once

#include <span>
#include <vector>

#include "model/generate.h"
#include "ops/linear.h"

namespace kvcomm {

// What a sampler made of a step's logits.
struct Taken {
  std::vector<bool> going_on;  // one for each active sequence
  at::Tensor next;             // [those that go on, hidden]: what they read next
};

// Greedy decoding: each step appends an id to each active answer.
class GreedySampler {
 public:
  GreedySampler(const Decoder& model, std::span<const Request> requests)
      : model_(model), requests_(requests), answers_(requests.size()) {}

  Taken take(at::Tensor logits, std::span<const Part> active);

  int64_t steps(size_t slot) const { return std::ssize(answers_[slot].ids); }
  const std::vector<Answer>& answers() const { return answers_; }

 private:
  const Decoder& model_;
  std::span<const Request> requests_;
  std::vector<Answer> answers_;
};

// CIPHER's decoding: each step appends a vector to each active answer.
class VectorSampler {
 public:
  // lengths: of the table's embeddings, [vocab].
  VectorSampler(const Decoder& model, size_t requests, const VectorDecoding& decoding,
                const at::Tensor& lengths)
      : model_(model),
        decoding_(decoding),
        products_(model.embeddings()),
        lengths_(lengths),
        emitted_(requests) {}

  Taken take(const at::Tensor& logits, std::span<const Part> active);

  int64_t steps(size_t slot) const { return std::ssize(emitted_[slot]); }
  std::vector<VectorAnswer> answers() const;

 private:
  const Decoder& model_;
  VectorDecoding decoding_;
  ops::Linear products_;  // with every embedding
  at::Tensor lengths_;
  std::vector<std::vector<at::Tensor>> emitted_;  // [requests][steps] of [hidden]
};

}  // namespace kvcomm
