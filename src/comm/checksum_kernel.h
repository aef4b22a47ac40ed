// The launch of comm/checksum.cuh.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t is a pointer to it

namespace kvcomm {

// Adds each sample's wire_sum to sums [samples] on the current GPU. bytes lies there; offsets
// [samples + 1] on the host. The work is only queued when it returns its cudaError_t.
int launch_wire_sums(const void* bytes, const int64_t* offsets, int64_t samples, uint64_t* sums,
                     CUstream_st* stream);

}  // namespace kvcomm
