// What becomes of given logits.
#include "model/sampler.h"

#include "tests/model/decoder_fixture.h"

namespace kvcomm::testing {
namespace {

class SamplerTest : public DecoderTest {
 protected:
  // Logits of the whole vocabulary, 0 but for some.
  at::Tensor logits(const std::vector<std::map<int64_t, float>>& rows) const {
    at::Tensor all = at::zeros({std::ssize(rows), model_.config().vocab});
    for (size_t row = 0; row < rows.size(); ++row) {
      for (const auto& [id, value] : rows[row]) all[static_cast<int64_t>(row)][id] = value;
    }
    return all.to(model_.options().device());
  }

  static std::vector<Part> slots(const std::vector<int>& of) {
    std::vector<Part> parts;
    for (const int slot : of) parts.push_back({slot, 1});
    return parts;
  }
};

TEST_F(SamplerTest, OfEqualLogitsTheLowestIdWins) {
  const std::vector<Request> requests{ask({1}), ask({1}), ask({1})};
  GreedySampler greedy(model_, requests);
  greedy.take(logits({{{300, 2}, {17, 2}, {511, 2}}, {}, {{510, 1e-30F}, {511, 1e-30F}}}),
              slots({0, 1, 2}));
  EXPECT_EQ(greedy.answers()[0].ids, Ids{17});
  EXPECT_EQ(greedy.answers()[1].ids, Ids{0});
  EXPECT_EQ(greedy.answers()[2].ids, Ids{510});
}

TEST_F(SamplerTest, AnEosAndTheLimitEndAnAnswer) {
  std::vector<Request> requests{ask({1}), ask({1}), ask({1}, 1), ask({1})};
  requests[1].decoding.eos = {40, 41};
  GreedySampler greedy(model_, requests);
  const Taken taken =
      greedy.take(logits({{{41, 1}}, {{41, 1}}, {{7, 1}}, {{9, 1}}}), slots({0, 1, 2, 3}));
  EXPECT_EQ(taken.going_on, (std::vector<bool>{true, false, false, true}));
  EXPECT_TRUE(at::equal(taken.next, model_.embed(Ids{41, 9})));
  EXPECT_EQ(greedy.answers()[1].ids, Ids{41});  // with its eos
  // Of those that go on each keeps its slot.
  greedy.take(logits({{{5, 1}}, {{6, 1}}}), slots({0, 3}));
  EXPECT_EQ(greedy.answers()[0].ids, (Ids{41, 5}));
  EXPECT_EQ(greedy.answers()[3].ids, (Ids{9, 6}));
  EXPECT_EQ(greedy.steps(2), 1);
}

TEST_F(SamplerTest, WhatCameBeforeIsPenalisedOnce) {
  Request request = ask({20, 21, 20, 22});
  request.decoding.repetition_penalty = 2;
  const std::vector<Request> requests{request, ask({20, 21})};
  GreedySampler greedy(model_, requests);
  // 20 stands twice in the prompt and still has half of its logit.
  const std::map<int64_t, float> first{{20, 10}, {30, 4.9F}, {31, 4}};
  greedy.take(logits({first, first}), slots({0, 1}));
  // Now the answer counts too: 20 again, of which half is below 30's.
  greedy.take(logits({{{20, 10}, {30, 5.1F}}, {}}), slots({0, 1}));
  EXPECT_EQ(greedy.answers()[0].ids, (Ids{20, 30}));
  EXPECT_EQ(greedy.answers()[1].ids.front(), 20);
  // Of negative logits what came before falls further.
  at::Tensor negative = at::full({1, model_.config().vocab}, -9.0F).to(model_.options().device());
  negative[0][30] = -3;
  negative[0][33] = -5;
  greedy.take(negative, slots({0}));
  EXPECT_EQ(greedy.answers()[0].ids.back(), 33);
}

TEST_F(SamplerTest, AVectorsPromptIsNotPenalised) {
  Request request = ask({20, Prompt::kVector});
  request.decoding.repetition_penalty = 100;
  request.prompt.vectors = model_.embed(Ids{5});
  GreedySampler greedy(model_, std::span(&request, 1));
  const std::map<int64_t, float> row{{20, 10}, {30, 5}};
  greedy.take(logits({row}), slots({0}));
  greedy.take(logits({row}), slots({0}));
  EXPECT_EQ(greedy.answers()[0].ids, (Ids{20, 30}));
}

TEST_F(SamplerTest, LogitsThatAreNotFiniteAreSaidSo) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<Request> requests{ask({1}), ask({1})};
  for (const float bad : {nan, infinity}) {
    GreedySampler greedy(model_, requests);
    try {
      greedy.take(logits({{{3, 1}}, {{400, bad}}}), slots({0, 1}));
      ADD_FAILURE() << bad << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kSomeFailed);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("not finite"));
    }
  }
  GreedySampler greedy(model_, requests);  // what hides an id is no fault
  greedy.take(logits({{{0, -infinity}}, {{3, 1}}}), slots({0, 1}));
  EXPECT_EQ(greedy.answers()[0].ids, Ids{1});
}

TEST_F(SamplerTest, AVectorIsTheTablesMeanByTheSoftmax) {
  const at::Tensor lengths = at::linalg_vector_norm(model_.embeddings(), 2, 1);
  VectorSampler vectors(model_, 2, {.max_steps = 2, .temperature = 0.5, .eos = -1}, lengths);
  const at::Tensor row = logits({{{3, 2}, {4, 1}}, {{5, 30}}});
  const Taken taken = vectors.take(row, slots({0, 1}));
  EXPECT_EQ(taken.going_on, (std::vector<bool>{true, true}));
  const at::Tensor weights = at::softmax(row.to(at::kDouble) / 0.5, 1);
  const at::Tensor expected = at::mm(weights, model_.embeddings().to(at::kDouble));
  EXPECT_TRUE(at::allclose(taken.next.to(at::kDouble), expected, 1e-5, 1e-6));
  vectors.take(row.narrow(0, 1, 1), slots({1}));
  EXPECT_EQ(vectors.steps(0), 1);
  const std::vector<VectorAnswer> answers = vectors.answers();
  EXPECT_EQ(answers[0].vectors.size(0), 1);
  EXPECT_TRUE(at::equal(answers[1].vectors[0], answers[1].vectors[1]));
}

TEST_F(SamplerTest, AVectorNearestToTheEndEndsItAndIsLeftOut) {
  const at::Tensor lengths = at::linalg_vector_norm(model_.embeddings(), 2, 1);
  VectorSampler vectors(model_, 2, {.max_steps = 5, .temperature = 0, .eos = 5}, lengths);
  const Taken taken = vectors.take(logits({{{5, 3}}, {{6, 3}}}), slots({0, 1}));
  EXPECT_EQ(taken.going_on, (std::vector<bool>{false, true}));
  EXPECT_EQ(vectors.answers()[0].vectors.sizes(), at::IntArrayRef({0, model_.config().hidden}));
  EXPECT_EQ(vectors.answers()[1].vectors.size(0), 1);
}

}  // namespace
}  // namespace kvcomm::testing
