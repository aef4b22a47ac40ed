#include "ops/linear.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "tests/ops/ops_fixture.h"

namespace kvcomm::ops {
namespace {

const std::vector<int64_t> kRows = {1,  2,  3,  4,  5,  6,  7,  8,  9,   10,
                                    11, 12, 13, 14, 15, 16, 17, 33, 130, 300};

struct LinearTest : testing::TestWithParam<at::ScalarType> {
  at::ScalarType type() const { return GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(Types, LinearTest, testing::Values(at::kFloat, at::kBFloat16));

// The product in double, of which a float32 sum is some rounding errors away.
at::Tensor exact(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {}) {
  const at::Tensor product = at::mm(x.to(at::kDouble), weight.to(at::kDouble).t());
  return bias.defined() ? product + bias.to(at::kDouble) : product;
}

void expect_product(const at::Tensor& got, const at::Tensor& expected, int64_t in) {
  const double ulp = got.scalar_type() == at::kFloat ? 1e-6 : kBFloat16Ulp / 2;
  expect_near(got, expected, ulp, 1e-6 * std::sqrt(static_cast<double>(in)));
}

TEST_P(LinearTest, IsTheProductForAllSizes) {
  at::manual_seed(1);
  for (const auto& [in, out] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {7, 3}, {8, 5}, {31, 6}, {33, 50}, {64, 100}, {576, 97}, {641, 49}, {1500, 7}}) {
    const at::Tensor weight = random({out, in}, type());
    const Linear linear(weight);
    for (const int64_t n : kRows) {
      const at::Tensor x = random({n, in}, type());
      SCOPED_TRACE(testing::Message() << in << " -> " << out << ", " << n << " rows");
      expect_product(linear(x), exact(x, weight), in);
    }
  }
}

TEST_P(LinearTest, AgreesWithTheReference) {
  const at::Tensor weight = random({70, 576}, type()), x = random({5, 576}, type());
  const at::Tensor bias = random({70}, type());
  at::Tensor expected = at::empty({5, 70}, x.options());
  reference::linear(x, weight, bias, expected);
  expect_near(Linear(weight, bias)(x), expected, type() == at::kFloat ? 1e-6 : kBFloat16Ulp, 1e-4);
}

TEST_P(LinearTest, AddsTheBiasBeforeRounding) {
  const at::Tensor weight = random({50, 96}, type()), bias = random({50}, type());
  for (const int64_t n : {1, 4, 33}) {
    const at::Tensor x = random({n, 96}, type());
    expect_product(Linear(weight, bias)(x), exact(x, weight, bias), 96);
  }
}

TEST_P(LinearTest, ARowsResultDoesNotDependOnTheOthers) {
#if defined(__x86_64__)
  if (type() == at::kBFloat16 && __builtin_cpu_supports("avx512bf16")) GTEST_SKIP();
#endif
  for (const int64_t in : {50, 576, 2048}) {
    const at::Tensor all = random({300, in}, type());
    const Linear linear(random({101, in}, type()));
    const at::Tensor expected = linear(all);
    for (const int64_t n : kRows)
      expect_bitwise(linear(all.narrow(0, 0, n)), expected.narrow(0, 0, n));
    expect_bitwise(linear(all.narrow(0, 64, 1)), expected.narrow(0, 64, 1));
  }
}

TEST_P(LinearTest, DoesNotDependOnTheThreads) {
  const Linear linear(random({4000, 64}, type()));
  for (const int64_t n : {1, 40}) {
    const at::Tensor x = random({n, 64}, type());
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    const at::Tensor expected = linear(x);
    at::set_num_threads(3);
    expect_bitwise(linear(x), expected);
    at::set_num_threads(threads);
  }
}

TEST_P(LinearTest, TakesAndFillsRowsThatLieApart) {
  const Linear linear(random({20, 40}, type()));
  const at::Tensor wide = random({6, 90}, type());
  const at::Tensor x = wide.narrow(1, 30, 40);
  at::Tensor results = at::zeros({6, 50}, wide.options());
  at::Tensor out = results.narrow(1, 10, 20);
  linear.into(x, out);
  expect_bitwise(out, linear(x.contiguous()));
  EXPECT_EQ(results.narrow(1, 0, 10).abs().sum().item<float>(), 0);
  EXPECT_EQ(results.narrow(1, 30, 20).abs().sum().item<float>(), 0);
}

TEST_P(LinearTest, ANanStaysInItsRow) {
  at::Tensor x = random({6, 75}, type());
  x[2][74].fill_(kNan);
  const at::Tensor nan = Linear(random({9, 75}, type()))(x).isnan();
  EXPECT_TRUE(nan[2].all().item<bool>());
  EXPECT_EQ(nan.sum().item<int64_t>(), 9);
}

TEST_P(LinearTest, NoRowsGiveNoRows) {
  EXPECT_EQ(Linear(random({9, 75}, type()))(random({0, 75}, type())).sizes(),
            (std::vector<int64_t>{0, 9}));
}

TEST_P(LinearTest, RefusesWhatDoesNotFit) {
  const Linear linear(random({9, 16}, type()));
  EXPECT_THROW(linear(random({2, 15}, type())), Error);
  EXPECT_THROW(linear(random({2, 16}, at::kDouble)), Error);
  EXPECT_THROW(linear(random({16, 2}, type()).t()), Error);
  EXPECT_THROW(Linear(random({16, 9}, type()).t()), Error);
  EXPECT_THROW(Linear(random({9, 16}, type()), random({8}, type())), Error);
  at::Tensor out = at::empty({3, 9}, at::TensorOptions().dtype(type()));
  EXPECT_THROW(linear.into(random({2, 16}, type()), out), Error);
}

}  // namespace
}  // namespace kvcomm::ops
