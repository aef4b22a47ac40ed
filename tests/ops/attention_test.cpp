// Each device's attention against plain products.
#include "ops/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "tests/support/device.h"

namespace kvcomm::ops {
namespace {

struct Sequence {
  int64_t tokens, rows, lookahead;
};

class AttentionTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  // Random keys and values of these sequences' ranges, with rows of nobody between them.
  LayerKv kv_for(const std::vector<Sequence>& sequences, int64_t kv_heads, int64_t head_dim) {
    int64_t row = kGap;
    for (const Sequence& one : sequences) {
      ranges_.add(one.tokens, row, one.rows, one.lookahead);
      row += one.rows + kGap;
    }
    put_on_device();
    return {random({row, kv_heads, head_dim}), random({row, kv_heads, head_dim})};
  }

  at::Tensor random(at::IntArrayRef shape) const {
    return at::randn(shape).to(device_).to(GetParam());
  }

  void put_on_device() {
    if (device_.is_cpu()) return;
    const auto send = [&](std::vector<int64_t> list) {
      return at::tensor(list, at::kInt).to(device_);
    };
    ranges_.device_q_offsets = send(ranges_.q_offsets);
    std::vector<int64_t> begins = ranges_.begins;
    begins.push_back(0);
    ranges_.device_begins = send(begins);
    ranges_.device_rows = send(ranges_.rows);
  }

  void expect_reference(const at::Tensor& q, const LayerKv& kv) const {
    const at::Tensor got = attention(q, kv, ranges_).cpu().to(at::kDouble);
    const at::Tensor expected = reference::attention(q, kv, ranges_).cpu().to(at::kDouble);
    const double tolerance = GetParam() == at::kFloat ? 1e-5 : 2e-2;
    EXPECT_LE((got - expected).abs().max().item<double>(), tolerance);
  }

  static constexpr int64_t kGap = 3;
  c10::InferenceMode guard_;
  at::Device device_ = testing::test_device();
  Ranges ranges_;
};

TEST_P(AttentionTest, PromptsWithAndWithoutWhatCameBefore) {
  at::manual_seed(7);
  const LayerKv kv = kv_for({{5, 5, 0}, {70, 470, 0}, {1, 9, 0}, {33, 34, 0}, {2, 2, 0}}, 2, 16);
  expect_reference(random({111, 6, 16}), kv);
}

TEST_P(AttentionTest, ADecodingStep) {
  at::manual_seed(8);
  const LayerKv kv = kv_for({{1, 1, 0}, {1, 300, 0}, {1, 17, 0}}, 3, 64);
  expect_reference(random({3, 9, 64}), kv);
}

TEST_P(AttentionTest, DecodingStepsOfManyShapes) {
  at::manual_seed(14);
  for (const auto& [kv_heads, group, head_dim] : {std::array<int64_t, 3>{4, 1, 80},
                                                  {2, 2, 96},
                                                  {2, 4, 128},
                                                  {1, 5, 64},
                                                  {2, 7, 64},
                                                  {1, 8, 24},
                                                  {1, 3, 256}}) {
    ranges_ = {};
    const LayerKv kv =
        kv_for({{1, 64, 0}, {1, 65, 0}, {1, 66, 0}, {1, 5001, 0}}, kv_heads, head_dim);
    SCOPED_TRACE(head_dim);
    expect_reference(random({4, kv_heads * group, head_dim}), kv);
  }
}

TEST_P(AttentionTest, OddHeadsAndGroups) {
  at::manual_seed(17);
  for (const auto& [kv_heads, group, head_dim] : {std::array<int64_t, 3>{1, 1, 1},
                                                  {3, 1, 2},
                                                  {1, 7, 3},
                                                  {2, 3, 5},
                                                  {5, 1, 17},
                                                  {1, 5, 20},
                                                  {3, 2, 33},
                                                  {2, 9, 80}}) {
    ranges_ = {};
    const LayerKv kv = kv_for({{1, 1, 0}, {1, 67, 0}, {3, 3, 0}, {5, 8, 0}, {4, 5, 2}, {2, 40, 0}},
                              kv_heads, head_dim);
    SCOPED_TRACE(::testing::Message() << kv_heads << " x " << group << " heads of " << head_dim);
    expect_reference(random({16, kv_heads * group, head_dim}), kv);
  }
}

TEST_P(AttentionTest, OfOneRowTheValueIsTheResult) {
  at::manual_seed(18);
  const LayerKv kv = kv_for({{1, 1, 0}, {1, 1, 3}}, 2, 6);
  const at::Tensor out = attention(random({2, 6, 6}), kv, ranges_);
  for (const int64_t token : {0, 1}) {
    const at::Tensor value = kv.v[kGap + token * (1 + kGap)];
    EXPECT_TRUE(at::equal(out[token], value.repeat_interleave(3, 0)));
  }
}

TEST_P(AttentionTest, ASequenceMayHaveNoQueries) {
  if (!device_.is_cpu()) GTEST_SKIP() << "a pass has none, and the kernels were not made for it";
  const LayerKv kv = kv_for({{2, 4, 0}, {0, 5, 0}, {1, 3, 0}, {0, 0, 0}}, 2, 8);
  expect_reference(random({3, 4, 8}), kv);
  ranges_ = {};
  EXPECT_EQ(attention(random({0, 4, 8}), kv, ranges_).sizes(), at::IntArrayRef({0, 4, 8}));
}

TEST_P(AttentionTest, FillsTheMemoryThatIsGiven) {
  if (!device_.is_cpu()) GTEST_SKIP() << "a GPU's kernels make their own";
  at::manual_seed(19);
  const LayerKv kv = kv_for({{3, 5, 0}, {1, 9, 0}}, 2, 8);
  const at::Tensor q = random({4, 4, 8}), memory = random({4, 4, 8});
  const at::Tensor out = attention(q, kv, ranges_, memory);
  EXPECT_TRUE(out.is_same(memory));
  EXPECT_TRUE(at::equal(out, attention(q, kv, ranges_)));
}

TEST_P(AttentionTest, ADecodingSequenceIsBitwiseTheSameAlone) {
  if (!device_.is_cpu()) GTEST_SKIP() << "a GPU's kernels promise equality up to last bits";
  at::manual_seed(15);
  const LayerKv kv = kv_for({{1, 700, 0}, {1, 90, 0}, {1, 4200, 0}}, 2, 64);
  const int threads = at::get_num_threads();
  at::set_num_threads(3);
  const at::Tensor q = random({3, 6, 64}), all = attention(q, kv, ranges_);
  at::set_num_threads(1);
  for (size_t i = 0; i < 3; ++i) {
    Ranges one;
    one.add(1, ranges_.begins[i], ranges_.rows[i], 0);
    const auto row = static_cast<int64_t>(i);
    EXPECT_TRUE(at::equal(attention(q.narrow(0, row, 1), kv, one), all.narrow(0, row, 1))) << i;
  }
  at::set_num_threads(threads);
}

TEST_P(AttentionTest, WhatIsNotFiniteStaysSo) {
  at::manual_seed(16);
  const LayerKv kv = kv_for({{1, 200, 0}, {1, 200, 0}}, 1, 64);
  kv.k[kGap + 150][0][3] = std::numeric_limits<float>::quiet_NaN();
  kv.v[kGap + 200 + kGap + 7][0][5] = std::numeric_limits<float>::infinity();
  const at::Tensor out = attention(random({2, 3, 64}), kv, ranges_);
  EXPECT_TRUE(out[0].isnan().all().item<bool>());
  EXPECT_FALSE(out[1][0][5].isfinite().item<bool>());
  EXPECT_TRUE(out[1][0][6].isfinite().item<bool>());
}

TEST_P(AttentionTest, QueriesThatSeeAhead) {
  at::manual_seed(9);
  const LayerKv kv = kv_for({{6, 6, 2}, {6, 7, 100}, {4, 9, 0}, {1, 3, 5}}, 2, 8);
  expect_reference(random({17, 4, 8}), kv);
}

TEST_P(AttentionTest, ManyQueriesThatSeeAhead) {
  at::manual_seed(12);
  const LayerKv kv = kv_for({{1100, 1103, 40}, {600, 600, 700}}, 1, 8);
  expect_reference(random({1700, 2, 8}), kv);
}

TEST_P(AttentionTest, QueriesInsideALargerTensor) {
  at::manual_seed(10);
  const LayerKv kv = kv_for({{4, 4, 0}, {1, 5, 0}}, 2, 8);
  expect_reference(random({5, 7, 8}).narrow(1, 0, 4), kv);
}

TEST_P(AttentionTest, ASequenceDoesNotSeeTheOthers) {
  at::manual_seed(11);
  const LayerKv kv = kv_for({{3, 8, 0}, {1, 5, 0}}, 2, 8);
  const at::Tensor q = random({4, 4, 8});
  const at::Tensor before = attention(q, kv, ranges_);
  kv.k.narrow(0, kGap + 8 + kGap, 5).fill_(100);  // the second sequence's
  kv.v.narrow(0, kGap + 8 + kGap, 5).fill_(100);
  const at::Tensor after = attention(q, kv, ranges_);
  EXPECT_TRUE(at::equal(after.narrow(0, 0, 3), before.narrow(0, 0, 3)));
  EXPECT_FALSE(at::equal(after[3], before[3]));
}

TEST_P(AttentionTest, ShareOfWhatWasReceived) {
  if (GetParam() != at::kFloat) GTEST_SKIP() << "computed in float32 whatever the dtype";
  // Equal keys: each row that is seen gets the same weight.
  const LayerKv kv = kv_for({{2, 6, 0}, {1, 1, 0}}, 1, 4);
  kv.k.fill_(0);
  const at::Tensor q = random({3, 2, 4});
  const std::vector<int64_t> received{4, 0};
  const auto share = [&](ShareRule rule) {
    return received_share(q, kv, ranges_, received, rule).cpu();
  };
  const at::Tensor all = share({});
  EXPECT_EQ(all.sizes(), at::IntArrayRef({3, 2}));
  EXPECT_NEAR(all[0][0].item<float>(), 4.0 / 5, 1e-6);
  EXPECT_NEAR(all[1][1].item<float>(), 4.0 / 6, 1e-6);
  EXPECT_EQ(all[2][0].item<float>(), 0);
  EXPECT_NEAR(share({.from = 1})[0][0].item<float>(), 3.0 / 5, 1e-6);
  // The release's mask hides nothing: 5 rows with +1, one without.
  EXPECT_NEAR(share({.visible_plus_one = true})[0][0].item<float>(),
              4 * std::exp(1.0) / (5 * std::exp(1.0) + 1), 1e-6);
}

TEST_P(AttentionTest, SharesAreTheAttentionToValuesThatMarkWhatWasReceived) {
  if (GetParam() != at::kFloat) GTEST_SKIP() << "computed in float32 whatever the dtype";
  at::manual_seed(20);
  const std::vector<int64_t> received{4, 0, 7, 2};
  LayerKv kv = kv_for({{3, 7, 0}, {2, 2, 0}, {1, 8, 0}, {5, 7, 0}}, 2, 5);
  kv.v.fill_(0);
  for (size_t s = 0; s < received.size(); ++s) {
    kv.v.narrow(0, ranges_.begins[s], received[s]).fill_(1);
  }
  const at::Tensor q = random({11, 6, 5});
  const at::Tensor share = received_share(q, kv, ranges_, received, {});
  const at::Tensor marked = reference::attention(q, kv, ranges_);
  EXPECT_TRUE(at::allclose(share, marked.select(2, 0), 1e-5, 1e-6));
  // Nothing counts where all that was received comes before the first that does.
  EXPECT_EQ(received_share(q, kv, ranges_, received, {.from = 9}).abs().max().item<float>(), 0);
}

TEST_P(AttentionTest, SharesOfALongPromptAreThoseOfItsTokensAlone) {
  if (GetParam() != at::kFloat) GTEST_SKIP() << "computed in float32 whatever the dtype";
  at::manual_seed(13);
  const int64_t tokens = 1500, received = 500;
  const LayerKv kv = kv_for({{tokens, received + tokens, 0}}, 1, 8);
  const at::Tensor q = random({tokens, 3, 8});
  const at::Tensor all = received_share(q, kv, ranges_, {received}, {});
  for (const int64_t token : {int64_t{0}, int64_t{700}, tokens - 1}) {
    Ranges one;
    one.add(1, ranges_.begins[0], received + token + 1, 0);
    const at::Tensor alone = received_share(q.narrow(0, token, 1), kv, one, {received}, {});
    EXPECT_TRUE(at::allclose(all.narrow(0, token, 1), alone)) << "token " << token;
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, AttentionTest, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& dtype) {
                           return dtype.param == at::kFloat ? "float32" : "bfloat16";
                         });

}  // namespace
}  // namespace kvcomm::ops
