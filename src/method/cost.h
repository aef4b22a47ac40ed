// What a sample of a method takes of its ends' models, in closed form from the method's profile:
// what it alone needs, without anything that a run reuses or shares.
#pragma once

#include <span>
#include <vector>

#include "method/type.h"
#include "model/flops.h"

namespace kvcomm {

// How much the ends read and generated for a sample, in tokens (or vectors, where it generates
// these).
struct SampleTokens {
  struct Sender {
    int64_t context = 0, said = 0;
  };
  std::vector<Sender> senders;
  int64_t first_prompt = 0, first_answer = 0;  // of the answering end, where it answers twice
  int64_t prompt = 0, answer = 0;
  int64_t whole_layers = 0;  // that were sent
};

struct SampleFlops {
  Flops senders, answering;
};

// Of samples of one method between the same models.
class SampleCost {
 public:
  // senders: the models of the pair's senders, in order.
  SampleCost(const MethodSpec& spec, const Fidelity& fidelity, std::vector<ModelConfig> senders,
             ModelConfig receiver);

  SampleFlops of(const SampleTokens& tokens) const;

 private:
  std::vector<Passes::Depth> depths_of(const SampleTokens& tokens) const;

  Profile profile_;
  bool shares_layers_, first_rows_;  // of a context, in layers that are not sent
  std::vector<ModelConfig> senders_;
  ModelConfig model_;  // of the end that answers
};

}  // namespace kvcomm
