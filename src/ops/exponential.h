// The exponential function as a loop that the compiler turns into vector instructions.
#pragma once

#include <bit>
#include <cstdint>

namespace kvcomm::ops {

// e^x within 2 ulp, without branches: 2^n e^r with x = n ln 2 + r and |r| <= ln 2 / 2; ln 2 has two
// parts, the first short, so that n ln 2 is exact. Infinite from 88.4 on; at least e^-87, which is
// nothing beside 1. NaN stays NaN.
inline float exponential(float x) {
  x = x > 89.0F ? 89.0F : x;
  x = x < -87.0F ? -87.0F : x;
  constexpr float kRounder =
      12582912.0F;  // 1.5 * 2^23: adding it leaves no digits behind the point
  const float shifted = x * 1.44269504F + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  float sum = 1.0F / 5040;
  sum = sum * r + 1.0F / 720;
  sum = sum * r + 1.0F / 120;
  sum = sum * r + 1.0F / 24;
  sum = sum * r + 1.0F / 6;
  sum = sum * r + 0.5F;
  sum = sum * r * r + r + 1.0F;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127U) << 23;
  return sum * std::bit_cast<float>(exponent);
}

}  // namespace kvcomm::ops
