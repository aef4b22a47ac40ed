// Runs a CUDA kernel's source on the CPU: one thread for each of a block's, block after block. To
// be included before the kernel's .cuh.
#pragma once

#include <atomic>
#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};
inline thread_local Dim3 threadIdx, blockIdx;
inline Dim3 blockDim, gridDim;
inline std::barrier<>* block_barrier = nullptr;

inline void __syncthreads() { block_barrier->arrive_and_wait(); }
inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t __float_as_uint(float x) { return std::bit_cast<uint32_t>(x); }
inline void atomicAdd(unsigned long long* to, unsigned long long value) {
  std::atomic_ref(*to).fetch_add(value);
}

namespace kvcomm::testing {

// body: calls the kernel.
template <typename Body>
void launch_on_cpu(Dim3 grid, unsigned threads, const Body& body) {
  gridDim = grid;
  blockDim = {threads};
  std::barrier<> barrier(threads);
  block_barrier = &barrier;
  std::vector<std::jthread> running;
  for (unsigned thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      threadIdx = {thread};
      for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x) {
          blockIdx = {x, y};
          body();
          __syncthreads();  // the next block has the same shared memory
        }
      }
    });
  }
}

}  // namespace kvcomm::testing
