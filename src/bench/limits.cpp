#include "bench/limits.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <utility>

#include "base/clones.h"
#include "model/device_watch.h"
#include "ops/linear.h"

namespace kvcomm::bench {

namespace {

constexpr int64_t kBeyondCaches = int64_t{256} << 20;  // bytes

// (out, in) of a layer's four matrices, as the decoder joins them: q, k and v; o; gate and up;
// down.
std::array<std::array<int64_t, 2>, 4> layer_shapes(const ModelConfig& m) {
  return {{{(m.heads + 2 * m.kv_heads) * m.head_dim, m.hidden},
           {m.hidden, m.heads * m.head_dim},
           {2 * m.intermediate, m.hidden},
           {m.hidden, m.intermediate}}};
}

at::Tensor random(at::IntArrayRef shape, at::TensorOptions options) {
  return at::empty(shape, options).uniform_(-1, 1);
}

// Parts of a vector's length side by side, as streams that the processor fetches at once.
KVC_CLONES uint64_t read(const uint64_t* from, int64_t n, int64_t streams) {
  uint64_t sums[8] = {};
  const int64_t part = n / streams / 8 * 8;
  for (int64_t i = 0; i < part; i += 8) {
    for (int64_t s = 0; s < streams; ++s) {
      for (int64_t l = 0; l < 8; ++l) sums[l] ^= from[s * part + i + l];
    }
  }
  uint64_t all = 0;
  for (const uint64_t sum : sums) all ^= sum;
  return all;
}

}  // namespace

Limit::Limit(at::Device device, double amount, std::vector<Way> ways)
    : device_(device), amount_(amount) {
  Seconds best_s = std::numeric_limits<Seconds>::infinity();
  for (Way& way : ways) {
    way.run();
    if (const Seconds took_s = time(way); took_s < best_s) {
      best_s = took_s;
      way_ = std::move(way);
    }
  }
}

Seconds Limit::time(const Way& way) const {
  const DeviceWatch watch(device_);
  way.run();
  return watch.elapsed_s();
}

Seconds Limit::time() const { return time(way_); }

Limit product_limit(const ModelConfig& model, at::TensorOptions options, int64_t rows) {
  struct Product {
    at::Tensor x;      // [rows, in]
    ops::Linear ours;  // in -> out
    at::Tensor weight() const { return ours.weight(); }
  };
  const auto element = static_cast<int64_t>(options.dtype().itemsize());
  const int64_t layers =
      std::clamp<int64_t>(kBeyondCaches / (layer_elements(model) * element), 1, model.layers);
  const auto products_in = [&](at::TensorOptions type) {
    std::vector<Product> products;
    for (int64_t layer = 0; layer < layers; ++layer) {
      for (const auto& [out, in] : layer_shapes(model)) {
        products.push_back({random({rows, in}, type), ops::Linear(random({out, in}, type))});
      }
    }
    return products;
  };
  const auto by_libtorch = [](const std::vector<Product>& products) {
    for (const Product& product : products) at::linear(product.x, product.weight());
  };
  const std::vector<Product> products = products_in(options);
  std::vector<Limit::Way> ways{{"libtorch's linear", [=] { by_libtorch(products); }}};
  if (options.device().is_cpu()) {
    ways.push_back({"kvcomm's linear", [=] {
                      for (const Product& product : products) product.ours(product.x);
                    }});
    // Processors that do not multiply bfloat16 themselves are faster so.
    const auto wide = products_in(options.dtype(at::kFloat));
    ways.push_back({"libtorch's linear in float32", [=] { by_libtorch(wide); }});
  }
  const auto flop = 2.0 * static_cast<double>(rows * layers * layer_elements(model));
  return {options.device(), flop, std::move(ways)};
}

void read_all(const at::Tensor& tensor, int64_t streams) {
  static std::atomic<uint64_t> sink;  // so that the reads are not left out
  const auto* from = static_cast<const uint64_t*>(tensor.const_data_ptr());
  const int64_t threads = at::get_num_threads();
  const int64_t part = static_cast<int64_t>(tensor.nbytes() / sizeof(uint64_t)) / threads;
  at::parallel_for(0, threads, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sink ^= read(from + i * part, part, streams);
  });
}

Limit read_limit(int64_t bytes, at::TensorOptions options) {
  constexpr int64_t kColumns = 8192, kRowBytes = kColumns * sizeof(float);
  const int64_t rows = std::max<int64_t>(2, bytes / kRowBytes / 2 * 2);
  // Written to: memory that no one has written is one page of zeros.
  const at::Tensor buffer = at::ones({rows, kColumns}, options.dtype(at::kFloat));
  const at::Tensor matrix = buffer.view(options.dtype().toScalarType());
  const at::Tensor vector = at::ones({1, matrix.size(1)}, matrix.options());
  std::vector<Limit::Way> ways{
      {"libtorch's sum", [=] { at::sum(buffer); }},
      {"libtorch's matrix times vector", [=] { at::linear(vector, matrix); }},
      {"a copy, both its halves counted",
       [=] { buffer.narrow(0, 0, rows / 2).copy_(buffer.narrow(0, rows / 2, rows / 2)); }}};
  if (options.device().is_cpu()) {
    const ops::Linear linear(matrix);
    ways.push_back({"kvcomm's matrix times vector", [=] { linear(vector); }});
    for (const int64_t streams : {1, 4}) {
      ways.push_back(
          {fmt::format("a loop over {} stream{} a thread", streams, streams > 1 ? "s" : ""),
           [=] { read_all(buffer, streams); }});
    }
  }
  return {options.device(), static_cast<double>(rows * kRowBytes), std::move(ways)};
}

int64_t limits_memory(const ModelConfig& model, int64_t read_bytes) {
  // The matrices once as bfloat16 and once as float32: beyond the caches, or of one large layer.
  constexpr int64_t kBoth = sizeof(float) + sizeof(at::BFloat16);
  constexpr int64_t kElements = kBeyondCaches / static_cast<int64_t>(sizeof(at::BFloat16));
  return read_bytes + kBoth * std::max(kElements, layer_elements(model));
}

}  // namespace kvcomm::bench
