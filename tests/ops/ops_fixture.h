// Tensors and comparisons for the tests of operations.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

namespace kvcomm::ops {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline at::Tensor random(at::IntArrayRef sizes, at::ScalarType type, double scale = 1) {
  return (at::randn(sizes) * scale).to(type);
}

inline void expect_bitwise(const at::Tensor& got, const at::Tensor& expected) {
  EXPECT_TRUE(at::equal(got, expected)) << "difference " << (got - expected).abs().max();
}

// |got - expected| within a relative tolerance, plus an absolute one for sums that cancel.
inline void expect_near(const at::Tensor& got, const at::Tensor& expected, double relative,
                        double absolute = 0) {
  ASSERT_EQ(got.sizes(), expected.sizes());
  const at::Tensor wide = expected.to(at::kDouble);
  const at::Tensor excess = (got.to(at::kDouble) - wide).abs() - (wide.abs() * relative + absolute);
  EXPECT_LE(excess.numel() == 0 ? 0 : excess.max().item<double>(), 0);
}

// One unit in the last place of bfloat16, relative to the value.
constexpr double kBFloat16Ulp = 1.0 / 128;

}  // namespace kvcomm::ops
