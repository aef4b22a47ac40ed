// Where a batch's rows stand in every layer, and what a pass is told of them.
#include "model/kv_cache.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/error.h"
#include "model/rotary.h"
#include "model/step.h"

namespace kvcomm {
namespace {

const ModelConfig kConfig{
    .layers = 4, .hidden = 16, .heads = 4, .kv_heads = 2, .head_dim = 4, .rope_theta = 10000};
const at::TensorOptions kOptions = at::TensorOptions().dtype(at::kFloat);

using Lists = std::vector<int64_t>;

// Random keys and values of sequences of these lengths, in these of four layers.
std::shared_ptr<const Context> context_of(const Lists& tokens, const std::vector<size_t>& layers) {
  auto context = std::make_shared<Context>(Context{.tokens = tokens, .layers = {}});
  context->layers.resize(4);
  for (const size_t layer : layers) {
    const Lists offsets = offsets_of(tokens);
    const auto rows = [&] { return at::randn({offsets.back(), 2, 4}); };
    context->layers[layer] = {.kv = {rows(), rows()}, .offsets = offsets};
  }
  return context;
}

Lists to_list(const at::Tensor& t) {
  const at::Tensor flat = t.to(at::kLong).contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

TEST(ContextTest, AViewIsOneSequencesRows) {
  const auto context = context_of({2, 3}, {1});
  const ContextView second{context, 1};
  EXPECT_EQ(second.tokens(), 3);
  EXPECT_EQ(second.rows(1), 3);
  EXPECT_TRUE(at::equal(second.layer(1).k, context->layers[1].kv.k.narrow(0, 2, 3)));
  EXPECT_TRUE(at::equal(second.layer(1).v, context->layers[1].kv.v.narrow(0, 2, 3)));
  EXPECT_EQ(second.rows(0), 0);  // a layer that was not sent
  EXPECT_FALSE(second.layer(0).present());
}

TEST(ContextTest, ASequenceMayHaveNothingWhereAnotherHasRows) {
  auto context = std::make_shared<Context>(Context{.tokens = {2, 3}, .layers = {}});
  context->layers.push_back(
      {.kv = {at::ones({3, 2, 4}), at::ones({3, 2, 4})}, .offsets = {0, 0, 3}});
  EXPECT_FALSE((ContextView{context, 0}).layer(0).present());
  EXPECT_EQ((ContextView{context, 1}).layer(0).k.size(0), 3);
}

TEST(ContextTest, OffsetsAreSumsOfWhatCameBefore) {
  EXPECT_EQ(offsets_of({3, 0, 2}), (Lists{0, 3, 3, 5}));
  EXPECT_EQ(offsets_of({}), Lists{0});
}

TEST(KvCacheTest, LayersThatReceivedAlikeAreOfOneKind) {
  const auto context = context_of({5, 2}, {0, 2});
  const std::vector<ContextView> first{{context, 0}}, second{{context, 1}};
  const KvCache cache(
      kConfig, 4,
      std::vector<SlotPlan>{
          {.capacity = 3, .past = first}, {.capacity = 1}, {.capacity = 4, .past = second}},
      kOptions);
  ASSERT_EQ(cache.kinds().size(), 2u);
  std::vector<size_t> kinds;
  for (int64_t layer = 0; layer < cache.layers(); ++layer) kinds.push_back(cache.kind_of(layer));
  EXPECT_EQ(kinds, (std::vector<size_t>{0, 1, 0, 1}));
  EXPECT_EQ(cache.kinds()[0].received, (Lists{5, 0, 2}));
  EXPECT_EQ(cache.kinds()[0].begins, (Lists{0, 8, 9}));
  EXPECT_EQ(cache.kinds()[1].received, (Lists{0, 0, 0}));
  EXPECT_EQ(cache.kinds()[1].begins, (Lists{0, 3, 4}));
  EXPECT_EQ(cache.layer(0).k.sizes(), at::IntArrayRef({15, 2, 4}));
  EXPECT_EQ(cache.layer(1).v.sizes(), at::IntArrayRef({8, 2, 4}));
}

TEST(KvCacheTest, WhatSendersSentStandsInOrderInFrontOfTheSlotsOwn) {
  const auto one = context_of({3}, {0, 1}), other = context_of({1, 2}, {1});
  const std::vector<ContextView> both{{one, 0}, {other, 1}}, last{{other, 0}};
  const KvCache cache(
      kConfig, 2,
      std::vector<SlotPlan>{{.capacity = 2, .past = both}, {.capacity = 1, .past = last}},
      kOptions);
  const LayerKv& first = cache.layer(0);
  EXPECT_TRUE(at::equal(first.k.narrow(0, 0, 3), one->layers[0].kv.k));
  const LayerKv& second = cache.layer(1);
  EXPECT_TRUE(at::equal(second.k.narrow(0, 0, 3), one->layers[1].kv.k));
  EXPECT_TRUE(at::equal(second.v.narrow(0, 3, 2), other->layers[1].kv.v.narrow(0, 1, 2)));
  EXPECT_TRUE(at::equal(second.v.narrow(0, 7, 1), other->layers[1].kv.v.narrow(0, 0, 1)));
}

TEST(KvCacheTest, LayersWhereOwnTokensStandOtherwiseAreOfAnotherKind) {
  const std::vector<OwnTokens> own{{.start = 4}, {.start = 4}, {.start = 4, .lookahead = 2}, {}};
  const KvCache cache(kConfig, 4, std::vector<SlotPlan>{{.capacity = 3, .own = own}}, kOptions);
  EXPECT_EQ(cache.kinds().size(), 3u);
  EXPECT_EQ(cache.kind_of(0), cache.kind_of(1));
  EXPECT_EQ(cache.kinds()[cache.kind_of(2)].own.front(), own[2]);
}

TEST(KvCacheTest, FullSlotsAreAContextWithoutACopy) {
  const auto sent = context_of({2}, {0});
  const std::vector<ContextView> past{{sent, 0}};
  KvCache cache(kConfig, 2, std::vector<SlotPlan>{{.capacity = 1, .past = past}, {.capacity = 3}},
                kOptions);
  cache.advance(0, 1);
  cache.advance(1, 2);
  EXPECT_THROW(cache.context(), Error);  // the second lacks a token
  cache.advance(1, 1);
  const Context context = cache.context();
  EXPECT_EQ(context.layers[0].offsets, (Lists{0, 3, 6}));
  EXPECT_EQ(context.layers[1].offsets, (Lists{0, 1, 4}));
  EXPECT_EQ(context.layers[1].kv.k.const_data_ptr(), cache.layer(1).k.const_data_ptr());
}

class StepTest : public ::testing::Test {
 protected:
  StepTest() {
    const std::vector<ContextView> past{{context_of({5}, {1, 3}), 0}};
    const std::vector<OwnTokens> own(4, OwnTokens{.start = 5, .lookahead = 1});
    slots_ = std::make_unique<KvCache>(
        kConfig, 4,
        std::vector<SlotPlan>{{.capacity = 6, .past = past, .own = own}, {.capacity = 4}},
        kOptions);
  }

  Step step(std::vector<Part> parts, Step::Phase phase = Step::Phase::kPrefill) const {
    return make_step(*slots_, std::move(parts), phase, rotary_, at::kCPU);
  }

  std::unique_ptr<KvCache> slots_;
  Rotary rotary_{kConfig, kOptions};
};

TEST_F(StepTest, SaysWhereTokensGoAndWhatTheySee) {
  const Step first = step({{.slot = 0, .tokens = 2}, {.slot = 1, .tokens = 3}});
  EXPECT_EQ(first.tokens(), 5);
  ASSERT_EQ(first.kinds.size(), 2u);  // layers 0 and 2 received nothing
  EXPECT_EQ(to_list(first.kinds[0].cache_rows), (Lists{0, 1, 6, 7, 8}));
  EXPECT_EQ(to_list(first.kinds[1].cache_rows), (Lists{5, 6, 11, 12, 13}));
  EXPECT_EQ(first.kinds[0].ranges.q_offsets, (Lists{0, 2, 5}));
  EXPECT_EQ(first.kinds[0].ranges.rows, (Lists{2, 3}));
  EXPECT_EQ(first.kinds[1].ranges.begins, (Lists{0, 11}));
  EXPECT_EQ(first.kinds[1].ranges.rows, (Lists{7, 3}));
  EXPECT_EQ(first.kinds[1].ranges.lookahead, (Lists{1, 0}));
  // Positions say where a token stands, not its row.
  for (const Step::Kind& kind : first.kinds) {
    EXPECT_EQ(to_list(kind.positions), (Lists{5, 6, 0, 1, 2}));
  }
}

TEST_F(StepTest, ALaterPassGoesOnBehindTheFormer) {
  slots_->advance(0, 2);
  slots_->advance(1, 3);
  const Step later = step({{.slot = 1, .tokens = 1}, {.slot = 0, .tokens = 3}});
  EXPECT_EQ(to_list(later.kinds[1].cache_rows), (Lists{14, 7, 8, 9}));
  EXPECT_EQ(to_list(later.kinds[1].positions), (Lists{3, 7, 8, 9}));
  EXPECT_EQ(later.kinds[1].ranges.rows, (Lists{4, 10}));
}

TEST_F(StepTest, EqualPositionsAreKeptOnce) {
  const Step shared = step({{.slot = 0, .tokens = 2}});
  EXPECT_TRUE(shared.kinds[1].positions.is_same(shared.kinds[0].positions));
  EXPECT_TRUE(shared.kinds[1].angles.cos.is_same(shared.kinds[0].angles.cos));
  const std::vector<OwnTokens> own{{}, {.start = 3}, {}, {.start = 3}};
  const KvCache cache(kConfig, 4, std::vector<SlotPlan>{{.capacity = 2, .own = own}}, kOptions);
  const Step apart = make_step(cache, {{.tokens = 1}}, Step::Phase::kDecode, rotary_, at::kCPU);
  EXPECT_EQ(to_list(apart.kinds[0].positions), Lists{0});
  EXPECT_EQ(to_list(apart.kinds[1].positions), Lists{3});
}

// Steps of both slots, the second first, three times on.
void expect_advanced_is_the_next_one(KvCache& cache, const Rotary& rotary) {
  cache.advance(0, 1);
  cache.advance(1, 1);
  const std::vector<Part> parts{{.slot = 1, .tokens = 1}, {.slot = 0, .tokens = 1}};
  const auto anew = [&] { return make_step(cache, parts, Step::Phase::kDecode, rotary, at::kCPU); };
  Step step = anew();
  const void* memory = step.kinds[1].angles.cos.const_data_ptr();
  for (int i = 0; i < 2; ++i) {
    cache.advance(0, 1);
    cache.advance(1, 1);
    advance(step, cache, rotary);
    const Step expected = anew();
    for (size_t kind = 0; kind < expected.kinds.size(); ++kind) {
      const Step::Kind &a = step.kinds[kind], &b = expected.kinds[kind];
      EXPECT_EQ(to_list(a.cache_rows), to_list(b.cache_rows));
      EXPECT_EQ(to_list(a.positions), to_list(b.positions));
      EXPECT_TRUE(at::equal(a.angles.cos, b.angles.cos));
      EXPECT_TRUE(at::equal(a.angles.sin, b.angles.sin));
      EXPECT_EQ(a.ranges.q_offsets, b.ranges.q_offsets);
      EXPECT_EQ(a.ranges.begins, b.ranges.begins);
      EXPECT_EQ(a.ranges.rows, b.ranges.rows);
    }
  }
  EXPECT_EQ(step.kinds[1].angles.cos.const_data_ptr(), memory);
  cache.advance(1, 1);  // that slot is full
  EXPECT_THROW(advance(step, cache, rotary), Error);
}

TEST_F(StepTest, AdvancedItIsTheNextOneWherePositionsAreShared) {
  expect_advanced_is_the_next_one(*slots_, rotary_);
}

TEST_F(StepTest, AdvancedItIsTheNextOneWherePositionsDiffer) {
  const std::vector<OwnTokens> own{{}, {.start = 3}, {.start = 3}, {}};
  KvCache cache(kConfig, 4, std::vector<SlotPlan>{{.capacity = 9, .own = own}, {.capacity = 4}},
                kOptions);
  expect_advanced_is_the_next_one(cache, rotary_);
}

TEST_F(StepTest, ASlotWithoutRoomIsRefused) {
  EXPECT_THROW(step({{.slot = 0, .tokens = 6}, {.slot = 1, .tokens = 5}}), Error);
  slots_->advance(1, 2);
  EXPECT_NO_THROW(step({{.slot = 1, .tokens = 2}}));
  EXPECT_THROW(step({{.slot = 1, .tokens = 3}}), Error);
}

}  // namespace
}  // namespace kvcomm
