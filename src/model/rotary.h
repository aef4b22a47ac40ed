// The angles of rotary positions, plain or with Llama 3's scaling.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/config.h"

namespace kvcomm {

// cos and sin of the tokens' angles, computed in float32 and rounded to the model's dtype.
struct Angles {
  at::Tensor cos, sin;  // [tokens, head_dim / 2]
  at::Tensor angle;     // the same, of which they are, float32
};

class Rotary {
 public:
  Rotary(const ModelConfig& config, at::TensorOptions options);

  // positions: [tokens, 1] float32 on the model's device.
  Angles angles(const at::Tensor& positions) const;
  // Of other positions, in the memory of those of as many.
  void set(Angles& angles, const at::Tensor& positions) const;

 private:
  at::Tensor frequencies_;  // [head_dim / 2] float32
  at::ScalarType dtype_;
};

}  // namespace kvcomm
