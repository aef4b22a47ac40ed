// What is said of repeated timings.
#include "bench/samples.h"

#include <gtest/gtest.h>

#include "bench/bench_model.h"
#include "bench/bench_wire.h"

namespace kvcomm::bench {
namespace {

TEST(Samples, PercentilesAreSamplesByNearestRank) {
  const Samples five{5, 1, 4, 2, 3};
  EXPECT_EQ(median(five), 3);
  EXPECT_EQ(percentile(five, 0.99), 5);
  EXPECT_EQ(percentile(five, 0.2), 1);
  EXPECT_EQ(percentile(five, 0.21), 2);
  EXPECT_EQ(percentile(five, 0), 1);
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({4, 2}), 2);
  Samples hundred;
  for (int i = 100; i > 0; --i) hundred.push_back(i);
  EXPECT_EQ(percentile(hundred, 0.99), 99);
}

TEST(Samples, TheSpreadIsARelativeOne) {
  EXPECT_EQ(spread({2, 4, 3}), 2.0 / 3);
  EXPECT_EQ(spread({2}), 0);
}

TEST(ModelRow, RatesAndSharesFollowFromSeconds) {
  const ModelRow row{.prompt = 100,
                     .generate = 11,
                     .batch = 4,
                     .prefill = {2, 9, 1},
                     .decode = {5, 4, 90},
                     .prefill_flop = 30,
                     .flop_per_s = 60,
                     .step_bytes = 3,
                     .bytes_per_s = 12};
  EXPECT_EQ(row.prompt_tokens_per_s(), 200);
  EXPECT_EQ(row.generated_tokens_per_s(), 8);  // the first tokens come out of the prefill
  EXPECT_EQ(row.prefill_share(), 0.25);        // half a second of 2
  EXPECT_EQ(row.decode_share(), 0.5);          // 10 steps of a quarter of a second, of 5
}

TEST(WireRow, RatesAndSharesFollowFromSeconds) {
  const WireRow row{
      .bytes = 100, .message = {4, 5, 3}, .without_sums = {3, 3, 3}, .raw = {2, 1, 9}};
  EXPECT_EQ(row.bytes_per_s(), 25);
  EXPECT_EQ(row.share_of_raw(), 0.5);
  EXPECT_EQ(row.share_of_sums(), 0.25);
}

}  // namespace
}  // namespace kvcomm::bench
