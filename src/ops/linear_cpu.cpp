#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "ops/linear.h"
#include "ops/scratch.h"

namespace kvcomm::ops::cpu {

namespace {

// A block is 3 rows of weights by 4 of x, or 4 by at most 2: 12 vectors of sums, the operands and a
// spare fill AVX2's 16 registers. A chunk of both fits the first-level cache (32 KiB), a panel's
// chunk the second (512 KiB).
constexpr int64_t kGroup = 4;     // rows of x
constexpr int64_t kChunk = 640;   // most elements of the summed dimension
constexpr int64_t kPanel = 96;    // rows of weights that are packed together
constexpr int64_t kSlab = 256;    // most rows of x at a time, so that packed x stays small
constexpr int64_t kFewRows = 16;  // of x: for these, packing weights costs more than it gains

// The summed dimension is cut into chunks of this length, the last excepted.
constexpr int64_t chunk_length(int64_t in) {
  const int64_t chunks = (in + kChunk - 1) / kChunk;
  return padded((in + chunks - 1) / chunks);
}

template <typename T>
struct Product {
  const T* weight;  // [rows, in]
  const T* bias;    // [rows] or null
  T* out;           // [n, rows], stride apart
  float* x;         // packed: chunk by chunk, in each of them row by row
  int64_t n, in, stride;
};

struct Panel {
  float* weight;  // [kPanel, kChunk]
  float* sums;    // [n, rows that are taken together]
};

template <typename T>
void finish(const Product<T>& p, int64_t first, int64_t rows, const float* sums, int64_t width) {
  for (int64_t j = 0; j < p.n; ++j) {
    T* out = p.out + j * p.stride + first;
    for (int64_t r = 0; r < rows; ++r) {
      const float sum = sums[j * width + r];
      out[r] =
          static_cast<T>(p.bias == nullptr ? sum : sum + static_cast<float>(p.bias[first + r]));
    }
  }
}

template <typename T>
struct Kernel {
  void (*pack_rows)(const Product<T>& p, const T* x, int64_t stride, int64_t from, int64_t to);
  void (*multiply)(const Product<T>& p, int64_t from, int64_t to, Panel& panel);
};

#define KVC_KERNEL "ops/linear_kernel.inc"
#include "ops/each_target.inc"

// Processors with matrix units for bfloat16 have these instructions too. libtorch's library uses
// both, which wins where there are many rows.
bool has_bfloat16_hardware() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

template <typename T>
void multiply(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
              at::Tensor& out) {
  const Kernel<T> kernel = best_kernel<T>();
  const int64_t in = weight.size(1), rows = weight.size(0);
  for (int64_t first = 0; first < x.size(0); first += kSlab) {
    const int64_t n = std::min(kSlab, x.size(0) - first);
    const Product<T> p{.weight = weight.const_data_ptr<T>(),
                       .bias = bias.defined() ? bias.const_data_ptr<T>() : nullptr,
                       .out = out.mutable_data_ptr<T>() + first * out.stride(0),
                       .x = scratch<struct PackedX>(n * padded(in)),
                       .n = n,
                       .in = in,
                       .stride = out.stride(0)};
    const T* from = x.const_data_ptr<T>() + first * x.stride(0);
    at::parallel_for(0, n, std::max<int64_t>(1, (1 << 17) / in), [&](int64_t begin, int64_t end) {
      kernel.pack_rows(p, from, x.stride(0), begin, end);
    });
    // A thread's part is worth some ten microseconds: a weight costs its way from memory and, an
    // eighth of that, each multiplication.
    const int64_t grain = std::max<int64_t>(6, (1 << 18) / (in * (8 + n)));
    at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
      Panel panel;
      panel.weight = scratch<struct PackedPanel>(kPanel * kChunk + kSlab * kPanel);
      panel.sums = panel.weight + kPanel * kChunk;
      kernel.multiply(p, begin, end, panel);
    });
  }
}

}  // namespace

void linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
            at::Tensor& out) {
  static const bool bfloat16_hardware = has_bfloat16_hardware();
  if (x.scalar_type() == at::kBFloat16 && x.size(0) > kFewRows && bfloat16_hardware) {
    at::linear_out(out, x, weight, bias);
  } else if (x.scalar_type() == at::kFloat) {
    multiply<float>(x, weight, bias, out);
  } else {
    multiply<c10::BFloat16>(x, weight, bias, out);
  }
}

}  // namespace kvcomm::ops::cpu
