// What a machine can do at best.
#include "bench/limits.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/weights.h"
#include "tests/support/paths.h"

namespace kvcomm::bench {
namespace {

ModelConfig tiny() {
  return load_model_config(testing::source_dir() / "tests/parity/checkpoints/tiny-qwen2");
}

TEST(Limit, TheFastestWayIsKept) {
  int slow_runs = 0, fast_runs = 0;
  const auto wait = [](Seconds s) {
    for (const Stopwatch watch; watch.elapsed_s() < s;) {
    }
  };
  const Limit limit(at::kCPU, 6,
                    {{"slow", [&] { wait(0.02), ++slow_runs; }}, {"fast", [&] { ++fast_runs; }}});
  EXPECT_EQ(limit.name(), "fast");
  EXPECT_LT(limit.time(), 0.02);
  EXPECT_EQ(slow_runs, 2);
  EXPECT_EQ(fast_runs, 3);
  EXPECT_EQ(limit.rate({3, 1, 2}), 3);
}

TEST(Limits, ALayersElementsAreThoseOfItsMatrices) {
  const ModelConfig model = tiny();
  int64_t elements = 0;
  for (const ExpectedTensor& tensor : expected_tensors(model)) {
    if (tensor.name.starts_with("model.layers.0.") && tensor.shape.size() == 2)
      elements += c10::multiply_integers(tensor.shape);
  }
  EXPECT_EQ(layer_elements(model), elements);
}

// A rate beyond any processor's would be one of work that was not done.
TEST(Limits, RatesAreThoseOfAMachine) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const Limit product = product_limit(tiny(), at::TensorOptions(type), 16);
    const double flop_per_s = product.rate({product.time()});
    EXPECT_GT(flop_per_s, 1e6) << product.name();
    EXPECT_LT(flop_per_s, 1e15) << product.name();
    const Limit read = read_limit(1 << 20, at::TensorOptions(type));
    const double bytes_per_s = read.rate({read.time()});
    EXPECT_GT(bytes_per_s, 1e6) << read.name();
    EXPECT_LT(bytes_per_s, 1e13) << read.name();
  }
}

}  // namespace
}  // namespace kvcomm::bench
