// What a GPU's threads do in the operations that are not libtorch's. Roundings are those of the CPU
// (ops/bfloat16.h). No launches here, so that the tests can run the same code on the CPU.
#pragma once

#include <cstdint>

namespace kvcomm::ops::kernels {

constexpr int kMostThreads = 512;  // of a block; always a power of two

struct BFloat16 {
  uint16_t bits;
};

__device__ inline float widen(float x) { return x; }
__device__ inline float widen(BFloat16 x) {
  return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
}

// The nearest value of T; ties to even, NaN stays NaN.
template <typename T>
__device__ T narrow(float x);
template <>
__device__ inline float narrow<float>(float x) {
  return x;
}
template <>
__device__ inline BFloat16 narrow<BFloat16>(float x) {
  const uint32_t bits = __float_as_uint(x);
  const uint32_t nearest = x == x ? bits + 0x7fffU + ((bits >> 16) & 1U) : bits;
  return {static_cast<uint16_t>(nearest >> 16)};
}
template <typename T>
__device__ float rounded(float x) {
  return widen(narrow<T>(x));
}

// The sum over a block's threads, for each of them.
template <typename Number>
__device__ Number block_sum(Number own) {
  __shared__ Number sums[kMostThreads];
  const unsigned thread = threadIdx.x;
  sums[thread] = own;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) sums[thread] += sums[thread + half];
  }
  __syncthreads();
  return sums[0];
}

// A block a token. delta may be null: then h is only read. h, delta, out [tokens, hidden].
template <typename T>
__global__ void add_rms_norm(T* h, const T* delta, const T* weight, int64_t hidden, float eps,
                             T* out) {
  const int64_t begin = blockIdx.x * hidden;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < hidden; i += blockDim.x) {
    T& at = h[begin + i];
    if (delta != nullptr) at = narrow<T>(widen(at) + widen(delta[begin + i]));
    squares += widen(at) * widen(at);
  }
  const float scale = 1.0F / sqrtf(block_sum(squares) / static_cast<float>(hidden) + eps);
  for (int64_t i = threadIdx.x; i < hidden; i += blockDim.x) {
    out[begin + i] = narrow<T>(rounded<T>(widen(h[begin + i]) * scale) * widen(weight[i]));
  }
}

// A block a token of qkv [tokens, heads + 2 kv_heads, 2 half]; angles [tokens, half].
template <typename T>
__global__ void rotate_and_store(T* qkv, const T* cos, const T* sin, const int64_t* row_of_token,
                                 T* k, T* v, int heads, int kv_heads, int half) {
  const int64_t token = blockIdx.x, row = row_of_token[token];
  const int head_dim = 2 * half, kv_width = kv_heads * head_dim;
  T* const own = qkv + token * (heads + 2 * kv_heads) * head_dim;
  for (int i = threadIdx.x; i < (heads + kv_heads) * half; i += blockDim.x) {
    const int head = i / half, at = i % half;
    const T* const from = own + head * head_dim;
    T* const to =
        head < heads ? own + head * head_dim : k + row * kv_width + (head - heads) * head_dim;
    const float a = widen(from[at]), b = widen(from[half + at]);
    const float c = widen(cos[token * half + at]), s = widen(sin[token * half + at]);
    to[at] = narrow<T>(rounded<T>(a * c) - rounded<T>(b * s));
    to[half + at] = narrow<T>(rounded<T>(b * c) + rounded<T>(a * s));
  }
  const T* const values = own + heads * head_dim + kv_width;
  for (int i = threadIdx.x; i < kv_width; i += blockDim.x) v[row * kv_width + i] = values[i];
}

// A thread an element of out [tokens, n]; gate_up [tokens, 2 n].
template <typename T>
__global__ void swiglu(const T* gate_up, int64_t tokens, int64_t n, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= tokens * n) return;
  const T* const gate = gate_up + i / n * 2 * n + i % n;
  const float x = widen(gate[0]);
  out[i] = narrow<T>(rounded<T>(x / (1.0F + expf(-x))) * widen(gate[n]));
}

}  // namespace kvcomm::ops::kernels
