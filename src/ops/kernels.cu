#include "ops/kernels.cuh"

#include "ops/kernels.h"

namespace kvcomm::ops::kernels {

namespace {

// A power of two, enough for the elements of a token.
unsigned threads_for(int64_t elements) {
  unsigned threads = 32;
  while (threads < kMostThreads && threads < elements) threads *= 2;
  return threads;
}

template <typename T>
int norm(void* h, const void* delta, const void* weight, int64_t tokens, int64_t hidden, float eps,
         void* out, cudaStream_t stream) {
  add_rms_norm<<<static_cast<unsigned>(tokens), threads_for(hidden), 0, stream>>>(
      static_cast<T*>(h), static_cast<const T*>(delta), static_cast<const T*>(weight), hidden, eps,
      static_cast<T*>(out));
  return cudaGetLastError();
}

template <typename T>
int rotate(void* qkv, const void* cos, const void* sin, const int64_t* row_of_token, void* k,
           void* v, int64_t tokens, int heads, int kv_heads, int half, cudaStream_t stream) {
  rotate_and_store<<<static_cast<unsigned>(tokens), threads_for((heads + kv_heads) * half), 0,
                     stream>>>(static_cast<T*>(qkv), static_cast<const T*>(cos),
                               static_cast<const T*>(sin), row_of_token, static_cast<T*>(k),
                               static_cast<T*>(v), heads, kv_heads, half);
  return cudaGetLastError();
}

template <typename T>
int gate(const void* gate_up, int64_t tokens, int64_t n, void* out, cudaStream_t stream) {
  constexpr unsigned kThreads = 256;
  swiglu<<<static_cast<unsigned>((tokens * n + kThreads - 1) / kThreads), kThreads, 0, stream>>>(
      static_cast<const T*>(gate_up), tokens, n, static_cast<T*>(out));
  return cudaGetLastError();
}

}  // namespace

int launch_add_rms_norm(bool bfloat16, void* h, const void* delta, const void* weight,
                        int64_t tokens, int64_t hidden, float eps, void* out, CUstream_st* stream) {
  const auto launch = bfloat16 ? norm<BFloat16> : norm<float>;
  return launch(h, delta, weight, tokens, hidden, eps, out, stream);
}

int launch_rotate_and_store(bool bfloat16, void* qkv, const void* cos, const void* sin,
                            const int64_t* row_of_token, void* k, void* v, int64_t tokens,
                            int64_t heads, int64_t kv_heads, int64_t half, CUstream_st* stream) {
  const auto launch = bfloat16 ? rotate<BFloat16> : rotate<float>;
  return launch(qkv, cos, sin, row_of_token, k, v, tokens, static_cast<int>(heads),
                static_cast<int>(kv_heads), static_cast<int>(half), stream);
}

int launch_swiglu(bool bfloat16, const void* gate_up, int64_t tokens, int64_t n, void* out,
                  CUstream_st* stream) {
  const auto launch = bfloat16 ? gate<BFloat16> : gate<float>;
  return launch(gate_up, tokens, n, out, stream);
}

}  // namespace kvcomm::ops::kernels
