// Angles against the formula in double, and what Llama 3's scaling may do to a frequency.
#include "model/rotary.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace kvcomm {
namespace {

const at::TensorOptions kFloat = at::TensorOptions().dtype(at::kFloat);

at::Tensor positions(const std::vector<float>& of) { return at::tensor(of).unsqueeze(1); }

// The angles at position 1.
std::vector<double> frequencies(const ModelConfig& config) {
  const at::Tensor angle = Rotary(config, kFloat).angles(positions({1})).angle[0].to(at::kDouble);
  return {angle.const_data_ptr<double>(), angle.const_data_ptr<double>() + angle.numel()};
}

TEST(RotaryTest, AnglesArePositionsTimesPowersOfTheta) {
  const ModelConfig config{.head_dim = 10, .rope_theta = 500000};
  const std::vector<float> at{0, 1, 17, 4095};
  const Angles angles = Rotary(config, kFloat).angles(positions(at));
  ASSERT_EQ(angles.cos.sizes(), at::IntArrayRef({4, 5}));
  for (size_t t = 0; t < at.size(); ++t) {
    for (int64_t i = 0; i < 5; ++i) {
      const double angle = at[t] * std::pow(500000.0, -2.0 * static_cast<double>(i) / 10);
      const auto row = static_cast<int64_t>(t);
      // A float32 angle of 4095 is 1e-4 off.
      EXPECT_NEAR(angles.cos[row][i].item<double>(), std::cos(angle), 1e-6 + 1e-7 * at[t]);
      EXPECT_NEAR(angles.sin[row][i].item<double>(), std::sin(angle), 1e-6 + 1e-7 * at[t]);
    }
  }
}

TEST(RotaryTest, OtherPositionsGoIntoTheSameMemory) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const Rotary rotary({.head_dim = 8, .rope_theta = 10000}, kFloat.dtype(type));
    Angles angles = rotary.angles(positions({3, 4}));
    const void* memory = angles.cos.const_data_ptr();
    rotary.set(angles, positions({900, 7}));
    const Angles expected = rotary.angles(positions({900, 7}));
    EXPECT_EQ(angles.cos.const_data_ptr(), memory);
    EXPECT_TRUE(at::equal(angles.cos, expected.cos));
    EXPECT_TRUE(at::equal(angles.sin, expected.sin));
  }
}

TEST(RotaryTest, OfBfloat16TheFloat32ValuesAreRoundedOnce) {
  const ModelConfig config{.head_dim = 16, .rope_theta = 10000};
  const at::Tensor at = positions({0, 5, 3001});
  const Angles wide = Rotary(config, kFloat).angles(at);
  const Angles narrow = Rotary(config, kFloat.dtype(at::kBFloat16)).angles(at);
  EXPECT_TRUE(at::equal(narrow.cos, wide.cos.to(at::kBFloat16)));
  EXPECT_TRUE(at::equal(narrow.sin, wide.sin.to(at::kBFloat16)));
  EXPECT_TRUE(at::equal(narrow.angle, wide.angle));
}

TEST(RotaryTest, Llama3KeepsShortWavesStretchesLongOnesAndBlendsBetween) {
  ModelConfig config{.head_dim = 128, .rope_theta = 500000};
  const std::vector<double> plain = frequencies(config);
  config.rope_scaling = RopeScaling{
      .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4, .original_max_positions = 8192};
  const std::vector<double> scaled = frequencies(config);
  int kept = 0, blended = 0, stretched = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double waves = 8192 * plain[i] / (2 * std::numbers::pi);  // in the positions trained on
    SCOPED_TRACE(waves);
    if (waves > 4) {
      ++kept;
      EXPECT_EQ(scaled[i], plain[i]);
    } else if (waves < 1) {
      ++stretched;
      EXPECT_NEAR(scaled[i], plain[i] / 8, 1e-7 * plain[i]);
    } else {
      ++blended;
      const double share = (waves - 1) / 3;  // 0 at the long end, 1 at the short
      EXPECT_NEAR(scaled[i], plain[i] * (share + (1 - share) / 8), 1e-6 * plain[i]);
    }
  }
  EXPECT_GT(kept, 20);
  EXPECT_GT(blended, 3);
  EXPECT_GT(stretched, 20);
}

}  // namespace
}  // namespace kvcomm
