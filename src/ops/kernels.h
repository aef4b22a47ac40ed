// Launches of the kernels in ops/kernels.cuh. Pointers are of the current GPU's memory, contiguous,
// shapes as in norm.h, rotary.h and swiglu.h; elements are float32, or bfloat16. The work is only
// queued when a launch returns its cudaError_t.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t is a pointer to it

namespace kvcomm::ops::kernels {

int launch_add_rms_norm(bool bfloat16, void* h, const void* delta, const void* weight,
                        int64_t tokens, int64_t hidden, float eps, void* out, CUstream_st* stream);
int launch_rotate_and_store(bool bfloat16, void* qkv, const void* cos, const void* sin,
                            const int64_t* row_of_token, void* k, void* v, int64_t tokens,
                            int64_t heads, int64_t kv_heads, int64_t half, CUstream_st* stream);
int launch_swiglu(bool bfloat16, const void* gate_up, int64_t tokens, int64_t n, void* out,
                  CUstream_st* stream);

}  // namespace kvcomm::ops::kernels
