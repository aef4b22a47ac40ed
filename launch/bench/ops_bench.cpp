// Times ops::Linear beside what bounds it: a bare read of the same weights, and libtorch's products
// (linear in the same type, float32 matrix product). Prints a table of medians of interleaved
// rounds.
//   ops_bench [part of a shape's name] [threads]     e.g. ops_bench 8B/gate_up 2
// Weights are cycled through, at least 200 MB of them, so that no cache flatters.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "bench/limits.h"
#include "bench/samples.h"
#include "ops/linear.h"

namespace {

struct Shape {
  const char* name;
  int64_t in, out;
};
// Layers of SmolLM2-135M and of models like Llama 3.2 1B and Llama 3.1 8B.
constexpr Shape kShapes[] = {
    {"135M/qkv", 576, 960},      {"135M/gate_up", 576, 3072}, {"135M/down", 1536, 576},
    {"135M/logits", 576, 49152}, {"1B/gate_up", 2048, 16384}, {"1B/down", 8192, 2048},
    {"8B/gate_up", 4096, 28672}, {"8B/down", 14336, 4096},    {"1B/logits", 2048, 128256},
};
constexpr int64_t kRows[] = {1, 2, 4, 8, 16, 64, 512};

struct Timed {
  std::function<void(size_t round)> run;
  kvcomm::bench::Samples seconds;

  double median() const { return kvcomm::bench::median(seconds); }
};

// Rounds of all ways in turn, for about two seconds. What takes a second is timed once.
void time_all(std::vector<Timed>& ways) {
  for (auto& way : ways) way.run(0);
  const kvcomm::Stopwatch all;
  for (size_t round = 1; round < 4 || (round < 100 && all.elapsed_s() < 2); ++round) {
    for (auto& way : ways) {
      if (!way.seconds.empty() && way.seconds.front() > 1) continue;
      const kvcomm::Stopwatch watch;
      way.run(round);
      way.seconds.push_back(watch.elapsed_s());
    }
  }
}

void bench(const Shape& shape, at::ScalarType type, const std::vector<at::Tensor>& weights,
           const at::Tensor& wide_weight, int64_t n) {
  const at::Tensor x = at::randn({n, shape.in}).to(type), wide_x = x.to(at::kFloat);
  std::vector<kvcomm::ops::Linear> linears(weights.begin(), weights.end());
  at::Tensor out = at::empty({n, shape.out}, x.options());
  at::Tensor wide_out = at::empty({n, shape.out});
  // Each way is some matrices ahead of the next, which so finds none of its weights in the caches.
  const auto of = [&](size_t round, size_t way) {
    return (round + way * weights.size() / 4) % weights.size();
  };
  std::vector<Timed> ways;
  ways.push_back({[&](size_t round) { linears[of(round, 0)].into(x, out); }, {}});
  ways.push_back({[&](size_t round) { at::linear(x, weights[of(round, 1)]); }, {}});
  for (const int64_t streams : {1, 4}) {
    const size_t way = streams == 1 ? 2 : 3;
    ways.push_back(
        {[&, streams, way](size_t r) { kvcomm::bench::read_all(weights[of(r, way)], streams); },
         {}});
  }
  ways.push_back({[&](size_t) { at::mm_out(wide_out, wide_x, wide_weight.t()); }, {}});
  time_all(ways);
  const double ours = ways[0].median(), torch = ways[1].median(), product = ways[4].median();
  const double bare = std::min(ways[2].median(), ways[3].median());
  const auto bytes = static_cast<double>(weights[0].nbytes());
  const auto flops = 2.0 * static_cast<double>(n * shape.in * shape.out);
  fmt::print(
      "{:13} {:8} {:7} {:4} | {:10.3f} {:6.1f} {:7.1f} | {:5.2f} of a read at {:4.1f} GB/s | "
      "{:6.2f} "
      "x at::linear | {:5.2f} of float32 mm at {:5.1f}\n",
      shape.name, c10::toString(type), at::get_num_threads(), n, ours * 1e3, bytes / ours / 1e9,
      flops / ours / 1e9, bare / ours, bytes / bare / 1e9, torch / ours, product / ours,
      flops / product / 1e9);
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  const c10::InferenceMode inference;
  const std::string wanted = count > 1 ? arguments[1] : "";
  const int only = count > 2 ? std::stoi(arguments[2]) : 0;
  fmt::print("shape         type     threads    n | ours    ms   GB/s  GFLOP/s | ...\n");
  for (const Shape& shape : kShapes) {
    if (std::string(shape.name).find(wanted) == std::string::npos) continue;
    const at::Tensor wide = at::randn({shape.out, shape.in});
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      std::vector<at::Tensor> weights;
      for (size_t bytes = 0; bytes < 200'000'000; bytes += weights.back().nbytes()) {
        weights.push_back(wide.to(type, /*non_blocking=*/false, /*copy=*/true));
      }
      for (const int threads : {1, 2}) {
        if (only != 0 && threads != only) continue;
        at::set_num_threads(threads);
        for (const int64_t n : kRows) {
          // Logits are never asked for at a whole prompt.
          if (n <= 16 || shape.out < 40'000) bench(shape, type, weights, wide, n);
        }
      }
    }
  }
}
