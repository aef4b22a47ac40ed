#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "base/clones.h"
#include "ops/bfloat16.h"
#include "ops/parallel.h"
#include "ops/weighted_sum.h"

namespace kvcomm::ops::cpu {

namespace {

constexpr int64_t kTogether = 4;  // rows of the table that pass through the sums at a time
constexpr int64_t kBlock = 128;   // rows whose sum is added to the total: keeps rounding small
constexpr int64_t kColumns = 32;  // a thread takes a multiple of so many

// sums[column] += weights[row] table[row][column] for kTogether rows; target_clones does not go
// with templates.
#define KVC_ADD_ROWS(T)                                                                   \
  KVC_CLONES void add_rows(const T* table, int64_t stride, const T* weights, float* sums, \
                           int64_t columns) {                                             \
    const float a = widen(weights[0]), b = widen(weights[1]), c = widen(weights[2]),      \
                d = widen(weights[3]);                                                    \
    const T *const second = table + stride, *const third = second + stride,               \
                   *const fourth = third + stride;                                        \
    for (int64_t i = 0; i < columns; ++i) {                                               \
      sums[i] += (a * widen(table[i]) + b * widen(second[i])) +                           \
                 (c * widen(third[i]) + d * widen(fourth[i]));                            \
    }                                                                                     \
  }                                                                                       \
  KVC_CLONES void add_row(const T* row, float weight, float* sums, int64_t columns) {     \
    for (int64_t i = 0; i < columns; ++i) sums[i] += weight * widen(row[i]);              \
  }
KVC_ADD_ROWS(float)
KVC_ADD_ROWS(c10::BFloat16)
#undef KVC_ADD_ROWS

// The columns [begin, end) of all results: the table's part is read once.
template <typename T>
void sum_columns(const at::Tensor& weights, const at::Tensor& table, int64_t begin, int64_t end,
                 at::Tensor& out) {
  const int64_t n = weights.size(0), rows = table.size(0), width = table.size(1);
  const int64_t columns = end - begin;
  const T* const from = table.const_data_ptr<T>() + begin;
  const T* const all_weights = weights.const_data_ptr<T>();
  std::vector<float> totals(static_cast<size_t>(n * columns), 0.0F), sums(totals.size());
  for (int64_t block = 0; block < rows; block += kBlock) {
    const int64_t block_end = std::min(rows, block + kBlock);
    std::ranges::fill(sums, 0.0F);
    int64_t row = block;
    for (; row + kTogether <= block_end; row += kTogether) {
      for (int64_t j = 0; j < n; ++j) {
        add_rows(from + row * width, width, all_weights + j * rows + row, sums.data() + j * columns,
                 columns);
      }
    }
    for (; row < block_end; ++row) {
      for (int64_t j = 0; j < n; ++j) {
        add_row(from + row * width, widen(all_weights[j * rows + row]), sums.data() + j * columns,
                columns);
      }
    }
    for (size_t i = 0; i < sums.size(); ++i) totals[i] += sums[i];
  }
  for (int64_t j = 0; j < n; ++j) {
    T* const to = out.mutable_data_ptr<T>() + j * width + begin;
    for (int64_t i = 0; i < columns; ++i) {
      to[i] = narrow<T>(rounded<T>(totals[static_cast<size_t>(j * columns + i)]));
    }
  }
}

}  // namespace

void weighted_sum(const at::Tensor& weights, const at::Tensor& table, at::Tensor& out) {
  const int64_t width = table.size(1), parts = (width + kColumns - 1) / kColumns;
  for_parts(parts, table.size(0) * kColumns, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kColumns, last = std::min(width, end * kColumns);
    if (table.scalar_type() == at::kFloat) {
      sum_columns<float>(weights, table, first, last, out);
    } else {
      sum_columns<c10::BFloat16>(weights, table, first, last, out);
    }
  });
}

}  // namespace kvcomm::ops::cpu
