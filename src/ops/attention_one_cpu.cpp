// Attention of a single query to its rows, as in decoding: keys and values are read once for a
// whole group of heads.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/attention.h"
#include "ops/exponential.h"
#include "ops/parallel.h"
#include "ops/scratch.h"

namespace kvcomm::ops::cpu {

namespace {

constexpr int64_t kGroup = 4;     // most query heads that are taken together
constexpr int64_t kMostRows = 4;  // of keys
// A range of rows is cut into chunks that threads share and whose results are joined: of so many
// rows, or more, so that no sequence has more than kMostChunks. Its length alone decides: a result
// does not depend on the batch or the threads.
constexpr int64_t kChunkRows = 64, kMostChunks = 64;

int64_t rows_a_chunk(int64_t rows) {
  return std::max(kChunkRows, (rows + kMostChunks - 1) / kMostChunks);
}

// Of scores: their largest, and the sum of their exponentials beside it.
struct Softmax {
  float largest, sum;
};

// What a chunk gives.
struct Chunk {
  Softmax* softmax;  // [heads]
  float* sums;       // [heads, length]: weighted values
};

struct Shape {
  int64_t kv_heads, group, head_dim;

  int64_t heads() const { return kv_heads * group; }
  int64_t length() const { return padded(head_dim); }                // of a packed row
  int64_t apart(int64_t stride) const { return stride / kv_heads; }  // heads of a row
  int64_t chunk_floats() const { return padded(heads() * (2 + length())); }
  Chunk chunk_at(float* memory) const {
    return {reinterpret_cast<Softmax*>(memory), memory + 2 * heads()};
  }
  Chunk later(Chunk chunk, int64_t by) const {
    return chunk_at(reinterpret_cast<float*>(chunk.softmax) + by * chunk_floats());
  }
};

template <typename T>
struct Kernel {
  void (*pack_queries)(const Shape& s, const T* q, float* to);
  void (*attend_chunk)(const Shape& s, const float* q, const T* k, const T* v, int64_t rows,
                       Chunk out);
  void (*join_chunks)(const Shape& s, Chunk first, int64_t chunks, T* out);
};

#define KVC_KERNEL "ops/attention_kernel.inc"
#include "ops/each_target.inc"

// The chunks of all sequences, one after the other.
struct Plan {
  struct Part {
    size_t sequence;
    int64_t row, rows;  // counted from the sequence's first
  };
  std::vector<Part> parts;
  std::vector<int64_t> first = {0};  // [sequences + 1]: each one's first part

  void set(const Ranges& ranges, const std::vector<int64_t>& sequences) {
    parts.clear();
    first.resize(1);
    for (const int64_t sequence : sequences) {
      const auto s = static_cast<size_t>(sequence);
      const int64_t rows = ranges.rows[s], step = rows_a_chunk(rows);
      for (int64_t row = 0; row < rows; row += step) {
        parts.push_back({s, row, std::min(step, rows - row)});
      }
      first.push_back(std::ssize(parts));
    }
  }
};

template <typename T>
void attend(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
            const std::vector<int64_t>& sequences, at::Tensor& out) {
  const Kernel<T> kernel = best_kernel<T>();
  const int64_t kv_heads = kv.k.size(1), head_dim = q.size(2), width = kv_heads * head_dim;
  const Shape shape{kv_heads, q.size(1) / kv_heads, head_dim};
  const T *queries = q.const_data_ptr<T>(), *k = kv.k.const_data_ptr<T>(),
          *v = kv.v.const_data_ptr<T>();
  T* const outs = out.mutable_data_ptr<T>();
  thread_local Plan plan;  // grows once: a step in decoding allocates nothing
  plan.set(ranges, sequences);
  const Plan& work = plan;  // this thread's, for all
  const auto parts = std::ssize(work.parts);
  float* const results = scratch<struct Results>(parts * shape.chunk_floats());

  for_parts(parts, 2 * kChunkRows * width, [&](int64_t begin, int64_t end) {
    float* const packed = scratch<struct Queries>(shape.heads() * shape.length());
    for (int64_t i = begin; i < end; ++i) {
      const Plan::Part& part = work.parts[static_cast<size_t>(i)];
      const int64_t row = (ranges.begins[part.sequence] + part.row) * width;
      kernel.pack_queries(shape, queries + ranges.q_offsets[part.sequence] * q.stride(0), packed);
      kernel.attend_chunk(shape, packed, k + row, v + row, part.rows,
                          shape.chunk_at(results + i * shape.chunk_floats()));
    }
  });
  for_parts(std::ssize(sequences), shape.chunk_floats(), [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const int64_t token = ranges.q_offsets[static_cast<size_t>(sequences[i])];
      kernel.join_chunks(shape, shape.chunk_at(results + work.first[i] * shape.chunk_floats()),
                         work.first[i + 1] - work.first[i],
                         outs + token * shape.heads() * head_dim);
    }
  });
}

}  // namespace

void attention_of_one(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                      const std::vector<int64_t>& sequences, at::Tensor& out) {
  if (q.scalar_type() == at::kFloat) {
    attend<float>(q, kv, ranges, sequences, out);
  } else {
    attend<c10::BFloat16>(q, kv, ranges, sequences, out);
  }
}

}  // namespace kvcomm::ops::cpu
