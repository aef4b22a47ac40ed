// wire_sum() of a tensor's samples on a GPU. No launch here, so that the tests can run the same
// code on the CPU.
#pragma once

#include <cstdint>

namespace kvcomm {

constexpr int kMostSums = 64;  // of one launch

struct SumOffsets {
  int64_t at[kMostSums + 1];  // bytes: where each sample begins, and where the last one ends
};

// Blocks (parts, samples) add to sums [samples], zeros before.
__global__ void wire_sums(const unsigned char* bytes, SumOffsets offsets,
                          unsigned long long* sums) {
  const int64_t begin = offsets.at[blockIdx.y], size = offsets.at[blockIdx.y + 1] - begin;
  const unsigned char* const own = bytes + begin;
  const bool aligned = reinterpret_cast<uintptr_t>(own) % sizeof(uint64_t) == 0;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  unsigned long long sum = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; 8 * i < size;
       i += stride) {
    unsigned long long word = 0;
    if (aligned && 8 * i + 8 <= size) {
      word = reinterpret_cast<const unsigned long long*>(own)[i];
    } else {
      for (int64_t b = 0; b < 8 && 8 * i + b < size; ++b) {
        word |= static_cast<unsigned long long>(own[8 * i + b]) << (8 * b);
      }
    }
    sum += (2 * static_cast<unsigned long long>(i) + 1) * word;
  }
  __shared__ unsigned long long total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  atomicAdd(&total, sum);
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(&sums[blockIdx.y], total);
}

}  // namespace kvcomm
