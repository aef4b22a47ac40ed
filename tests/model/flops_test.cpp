// Floating-point operations: the closed form, and that what ran is counted alike.
#include "model/flops.h"

#include "model/prefill.h"
#include "tests/model/decoder_fixture.h"

namespace kvcomm::testing {
namespace {

const ModelConfig kConfig{.layers = 3,
                          .hidden = 8,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 3,
                          .intermediate = 20,
                          .vocab = 50};

// Row by row, as the products are written down: out times in, twice.
TEST(Flops, ALayerIsItsMatricesAndFullSquares) {
  const double matrices = 8 * 12 + 2 * (8 * 6) + 12 * 8 + 3 * (8 * 20);
  const Flops flops = layer_flops(kConfig, 5, 40);
  EXPECT_EQ(flops.attention, 2 * (2.0 * 40 * 12));
  EXPECT_EQ(flops.all, 2 * 5 * matrices + flops.attention);
  EXPECT_EQ(table_flops(kConfig, 7).all, 2.0 * 7 * 8 * 50);
  EXPECT_EQ(table_flops(kConfig, 7).attention, 0);
}

TEST(Flops, TheLastTokenIsChosenButNotRead) {
  const Passes passes{
      .depths = {{.layers = 2, .received = 10}, {.layers = 1}}, .prompt = 6, .generated = 4};
  Flops expected = table_flops(kConfig, 4);
  for (const int64_t received : {10, 10, 0}) {
    expected += layer_flops(kConfig, 6, 6 * (received + 6));
    for (int64_t step = 1; step <= 3; ++step) {
      expected += layer_flops(kConfig, 1, received + 6 + step);
    }
  }
  const Flops flops = flops_of(kConfig, passes);
  EXPECT_EQ(flops.all, expected.all);
  EXPECT_EQ(flops.attention, expected.attention);
}

TEST(Flops, WhatIsOnlyReadHasNoHead) {
  const Flops flops = flops_of(kConfig, {.depths = {{.layers = 3}}, .prompt = 6});
  EXPECT_EQ(flops.all, (3 * layer_flops(kConfig, 6, 36)).all);
}

class CountedTest : public DecoderTest {
 protected:
  // Of one sequence by itself, through all layers or the first so many.
  Flops form(int64_t prompt, int64_t generated, int64_t received = 0) const {
    return flops_of(
        model_.config(),
        {.depths = {{model_.config().layers, received}}, .prompt = prompt, .generated = generated});
  }
  static void expect_ran(const Decoder& model, const Flops& expected) {
    EXPECT_DOUBLE_EQ(model.ran().all, expected.all);
    EXPECT_DOUBLE_EQ(model.ran().attention, expected.attention);
  }
};

// However a batch is cut into passes: each prompt counts as a square.
TEST_F(CountedTest, ABatchIsTheSumOfItsSequences) {
  for (const int64_t pass_tokens : {5, 1000}) {
    const Decoder model = decoder(pass_tokens);
    const std::vector<Request> requests{ask(some_ids(12, 1), 3), ask(some_ids(4, 2), 6)};
    const std::vector<Ids> said = answers(model, requests);
    Flops expected;
    for (size_t i = 0; i < said.size(); ++i) {
      expected += form(std::ssize(requests[i].prompt.ids), std::ssize(said[i]));
    }
    expect_ran(model, expected);
  }
}

TEST_F(CountedTest, WhatWasReadOnceIsCountedOnce) {
  PrefixCache prefixes;
  std::vector<Request> requests{ask(some_ids(12, 1), 1), ask(some_ids(12, 1), 1)};
  for (Request& request : requests) request.head = 8;
  answers(model_, requests, &prefixes);
  Flops expected = form(8, 0);
  expected += 2.0 * form(4, 1, /*received=*/8);
  expect_ran(model_, expected);
}

TEST_F(CountedTest, PartOfTheDepthIsAPartOfTheWork) {
  const std::vector<Ids> sequences{some_ids(9, 1), some_ids(3, 4)};
  hidden_states(model_, sequences, 3);
  last_hidden(model_, sequences, 1);
  Flops expected;
  for (const int64_t layers : {3, 1}) {
    for (const int64_t tokens : {9, 3}) {
      expected += flops_of(model_.config(), {.depths = {{layers}}, .prompt = tokens});
    }
  }
  expect_ran(model_, expected);
}

TEST_F(CountedTest, AVectorCostsThreeProductsWithTheTable) {
  const std::vector<Request> requests{ask(some_ids(6, 1))};
  const auto said = generate_vectors(model_, requests, {.max_steps = 4, .eos = 511});
  ASSERT_EQ(said.front().vectors.size(0), 4) << "eos came: choose another for this test";
  Passes passes{.depths = {{model_.config().layers}}, .prompt = 6, .generated = 4};
  passes.table_products = 3;
  expect_ran(model_, flops_of(model_.config(), passes));
}

}  // namespace
}  // namespace kvcomm::testing
