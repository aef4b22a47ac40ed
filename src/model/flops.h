// Floating-point operations of a model, in closed form: two for each product that is added up in a
// multiplication of matrices. Attention counts as full squares of every query head, what the causal
// mask hides included, as plain products compute it; norms, rotary positions, softmax and the
// choice of a token count nothing (the paper's figure 8; reference: figures.md).
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace kvcomm {

struct Flops {
  double all = 0;        // attention's included
  double attention = 0;  // queries with keys, and what these weigh with values

  Flops& operator+=(const Flops& other) {
    all += other.all;
    attention += other.attention;
    return *this;
  }
  friend Flops operator*(double times, const Flops& of) {
    return {times * of.all, times * of.attention};
  }
};

// Elements of a layer's matrices.
int64_t layer_elements(const ModelConfig& model);

// Of a layer that so many tokens go through. pairs: of a query and a row that it is multiplied
// with, summed over the queries.
Flops layer_flops(const ModelConfig& model, int64_t tokens, int64_t pairs);

// Of so many rows of [hidden], each multiplied with every row of the head or the embedding table.
Flops table_flops(const ModelConfig& model, int64_t rows);

// A prompt that a model reads, and what it generates behind it.
struct Passes {
  // Layers in which its tokens see so many rows in front of their own.
  struct Depth {
    int64_t layers = 0, received = 0;
  };
  std::vector<Depth> depths;  // together: all that the prompt goes through
  int64_t prompt = 0;         // tokens
  // Tokens or vectors, of which the last is not read any more. 0: there is no head's product
  // either.
  int64_t generated = 0;
  int64_t table_products = 1;  // of the model's output at each of them, with the head or the table
};

// Appendix N of the paper with every matrix in it: the prompt's tokens see all of the prompt, each
// token generated all that came before it, and itself.
Flops flops_of(const ModelConfig& model, const Passes& passes);

}  // namespace kvcomm
