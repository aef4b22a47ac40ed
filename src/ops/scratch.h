// What the CPU's kernels share outside their instruction sets.
#pragma once

#include <cstdint>
#include <vector>

namespace kvcomm::ops {

// The longest step of all kernels: packed rows are filled up to it.
constexpr int64_t padded(int64_t n) { return (n + 31) / 32 * 32; }

// A thread's memory, aligned, that stays for the next call: what Use names is a buffer of its own.
template <typename Use>
float* scratch(int64_t floats) {
  struct alignas(64) Line {
    float floats[16];
  };
  thread_local std::vector<Line> lines;
  const auto needed = static_cast<size_t>((floats + 15) / 16);
  if (lines.size() < needed) lines.resize(needed);
  return lines.front().floats;
}

}  // namespace kvcomm::ops
