// bfloat16 as loops that the compiler turns into vector instructions.
#pragma once

#include <c10/util/BFloat16.h>

#include <bit>
#include <cstdint>

namespace kvcomm::ops {

// bfloat16 is the upper half of a float32.
inline float widen(float x) { return x; }
inline float widen(c10::BFloat16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.x) << 16);
}

// The nearest value of T, as float32; ties to even, NaN stays NaN.
template <typename T>
float rounded(float x);
template <>
inline float rounded<float>(float x) {
  return x;
}
template <>
inline float rounded<c10::BFloat16>(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t nearest = (bits + 0x7fffU + ((bits >> 16) & 1U)) & 0xffff0000U;
  return x == x ? std::bit_cast<float>(nearest) : x;
}

// Of a rounded value.
template <typename T>
T narrow(float x);
template <>
inline float narrow<float>(float x) {
  return x;
}
template <>
inline c10::BFloat16 narrow<c10::BFloat16>(float x) {
  return {static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16), c10::BFloat16::from_bits()};
}

}  // namespace kvcomm::ops
