// Sums of a table's rows, each with a weight: CIPHER's mean embedding (Pham et al. 2024).
#pragma once

#include <ATen/core/Tensor.h>

namespace kvcomm::ops {

// weights [n, rows] and table [rows, width], contiguous, both float32 or both bfloat16 -> [n,
// width]. Sums are float32, rounded once; on the CPU a row's result is bitwise the same however
// many rows weights has, and with any number of threads. Fails (kInternal) where shapes or types do
// not fit.
at::Tensor weighted_sum(const at::Tensor& weights, const at::Tensor& table);

// The ways that the above chooses from; nothing is checked.
namespace cpu {
void weighted_sum(const at::Tensor& weights, const at::Tensor& table, at::Tensor& out);
}
namespace reference {  // any device
void weighted_sum(const at::Tensor& weights, const at::Tensor& table, at::Tensor& out);
}

}  // namespace kvcomm::ops
