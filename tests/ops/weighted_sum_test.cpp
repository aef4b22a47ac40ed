#include "ops/weighted_sum.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "tests/ops/ops_fixture.h"

namespace kvcomm::ops {
namespace {

struct WeightedSumTest : testing::TestWithParam<at::ScalarType> {
  at::ScalarType type() const { return GetParam(); }
  at::Tensor weights(int64_t n, int64_t rows) const {
    return at::softmax(at::randn({n, rows}), 1).to(type());
  }
};
INSTANTIATE_TEST_SUITE_P(Types, WeightedSumTest, testing::Values(at::kFloat, at::kBFloat16));

TEST_P(WeightedSumTest, IsTheSumForAllSizes) {
  at::manual_seed(1);
  for (const auto& [rows, width] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {3, 7}, {4, 32}, {5, 33}, {127, 64}, {129, 50}, {1000, 576}}) {
    for (const int64_t n : {1, 2, 5}) {
      SCOPED_TRACE(testing::Message() << n << " x " << rows << " x " << width);
      const at::Tensor by = weights(n, rows), table = random({rows, width}, type());
      expect_near(weighted_sum(by, table), at::mm(by.to(at::kDouble), table.to(at::kDouble)),
                  type() == at::kFloat ? 1e-6 : kBFloat16Ulp / 2, 1e-6);
    }
  }
}

TEST_P(WeightedSumTest, DoesNotDependOnTheOtherRowsNorOnTheThreads) {
  const at::Tensor by = weights(6, 3000), table = random({3000, 200}, type());
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor expected = weighted_sum(by, table);
  at::set_num_threads(3);
  expect_bitwise(weighted_sum(by, table), expected);
  expect_bitwise(weighted_sum(by.narrow(0, 4, 1), table), expected.narrow(0, 4, 1));
  at::set_num_threads(threads);
}

TEST_P(WeightedSumTest, RefusesWhatDoesNotFit) {
  EXPECT_THROW(weighted_sum(weights(2, 9), random({8, 4}, type())), Error);
  EXPECT_THROW(weighted_sum(weights(2, 8), random({4, 8}, type()).t()), Error);
}

}  // namespace
}  // namespace kvcomm::ops
