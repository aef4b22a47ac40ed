// Threads for what falls into equal parts: tokens, or heads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

namespace kvcomm::ops {

// Calls body(begin, end) for ranges of [0, parts), each worth a thread. work: of a part, in
// elements that are read; waking a thread costs as much as some ten thousand of them.
template <typename Body>
void for_parts(int64_t parts, int64_t work, const Body& body) {
  constexpr int64_t kElements = 1 << 15;
  at::parallel_for(0, parts, std::max<int64_t>(1, kElements / std::max<int64_t>(1, work)), body);
}

}  // namespace kvcomm::ops
