// Threads for operations that treat token after token.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

namespace kvcomm::ops {

// Calls body(begin, end) for parts of [0, tokens) whose elements, `width` a token, are worth a
// thread: waking one costs as much as some ten thousand elements.
template <typename Body>
void for_tokens(int64_t tokens, int64_t width, const Body& body) {
  constexpr int64_t kElements = 1 << 15;
  at::parallel_for(0, tokens, std::max<int64_t>(1, kElements / std::max<int64_t>(1, width)), body);
}

}  // namespace kvcomm::ops
