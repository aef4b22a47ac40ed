#include "comm/checksum.cuh"

#include <algorithm>

#include "comm/checksum_kernel.h"

namespace kvcomm {

int launch_wire_sums(const void* bytes, const int64_t* offsets, int64_t samples, uint64_t* sums,
                     CUstream_st* stream) {
  constexpr int64_t kThreads = 256, kWordsOfAThread = 8, kMostParts = 1024;
  for (int64_t first = 0; first < samples; first += kMostSums) {
    const int64_t count = std::min<int64_t>(kMostSums, samples - first);
    SumOffsets some{};
    std::copy_n(offsets + first, count + 1, some.at);
    int64_t longest = 0;
    for (int64_t i = 0; i < count; ++i) longest = std::max(longest, some.at[i + 1] - some.at[i]);
    const int64_t parts =
        std::clamp<int64_t>(longest / (8 * kThreads * kWordsOfAThread), 1, kMostParts);
    const dim3 grid(static_cast<unsigned>(parts), static_cast<unsigned>(count));
    wire_sums<<<grid, kThreads, 0, stream>>>(static_cast<const unsigned char*>(bytes), some,
                                             reinterpret_cast<unsigned long long*>(sums + first));
  }
  return cudaGetLastError();
}

}  // namespace kvcomm
