#include "model/rotary.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace kvcomm {

namespace {

// Llama 3: long wavelengths are stretched by `factor`, short ones kept, those between blended.
float scaled(float frequency, const RopeScaling& s) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double low_wavelength = s.original_max_positions / s.low_freq_factor;
  const double high_wavelength = s.original_max_positions / s.high_freq_factor;
  if (wavelength < high_wavelength) return frequency;
  if (wavelength > low_wavelength) return static_cast<float>(frequency / s.factor);
  const double smooth = (s.original_max_positions / wavelength - s.low_freq_factor) /
                        (s.high_freq_factor - s.low_freq_factor);
  return static_cast<float>((1 - smooth) * frequency / s.factor + smooth * frequency);
}

}  // namespace

Rotary::Rotary(const ModelConfig& config, at::TensorOptions options)
    : dtype_(c10::typeMetaToScalarType(options.dtype())) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < config.head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(config.head_dim);
    const float frequency = 1.0F / std::pow(static_cast<float>(config.rope_theta), exponent);
    frequencies.push_back(config.rope_scaling ? scaled(frequency, *config.rope_scaling)
                                              : frequency);
  }
  frequencies_ = at::tensor(frequencies, at::kFloat).to(options.device());
}

Angles Rotary::angles(const at::Tensor& positions) const {
  const auto empty = [&](at::ScalarType dtype) {
    return at::empty({positions.size(0), frequencies_.size(0)},
                     frequencies_.options().dtype(dtype));
  };
  Angles angles{.cos = empty(dtype_), .sin = empty(dtype_), .angle = empty(at::kFloat)};
  set(angles, positions);
  return angles;
}

void Rotary::set(Angles& angles, const at::Tensor& positions) const {
  at::mul_out(angles.angle, positions, frequencies_);
  at::cos_out(angles.cos, angles.angle);
  at::sin_out(angles.sin, angles.angle);
}

}  // namespace kvcomm
