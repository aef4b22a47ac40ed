// Rotary positions in Hugging Face's half-split convention, plain or with Llama 3's scaling.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/config.h"

namespace kvcomm {

// cos and sin of the tokens' angles, computed in float32 and rounded to the model's dtype.
struct Angles {
  at::Tensor cos, sin;  // [tokens, 1, head_dim / 2]
};

class Rotary {
 public:
  Rotary(const ModelConfig& config, at::TensorOptions options);

  // positions: [tokens] int64 on the model's device.
  Angles angles(const at::Tensor& positions) const;

  // Rotates every head of x [tokens, heads, head_dim]; a new contiguous tensor.
  static at::Tensor rotate(const at::Tensor& x, const Angles& angles);

 private:
  at::Tensor frequencies_;  // [head_dim / 2] float32
  at::ScalarType dtype_;
};

}  // namespace kvcomm
