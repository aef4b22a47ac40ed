// Batches, passes, beginnings that are read once, and vectors in prompts: none of them may change
// what is answered. Against dumps of transformers: tests/parity.
#include "model/generate.h"

#include <numeric>

#include "tests/model/decoder_fixture.h"

namespace kvcomm::testing {
namespace {

void expect_near(const at::Tensor& got, const at::Tensor& expected, double tolerance = 1e-5) {
  ASSERT_EQ(got.sizes(), expected.sizes());
  EXPECT_LE((got - expected).abs().max().item<double>(), tolerance);
}

void expect_near(const Context& got, const Context& expected) {
  EXPECT_EQ(got.tokens, expected.tokens);
  ASSERT_EQ(got.layers.size(), expected.layers.size());
  for (size_t layer = 0; layer < expected.layers.size(); ++layer) {
    EXPECT_EQ(got.layers[layer].offsets, expected.layers[layer].offsets);
    expect_near(got.layers[layer].kv.k, expected.layers[layer].kv.k);
    expect_near(got.layers[layer].kv.v, expected.layers[layer].kv.v);
  }
}

class GenerateTest : public DecoderTest {
 protected:
  // Doubles the last token's activations at the input of a layer, and notes what it was given.
  Edit doubled(int64_t layer) {
    return {.layer = layer, .apply = [this](at::Tensor& x) {
              edited_.push_back(x.size(0));
              x[-1].mul_(2);
            }};
  }

  // Requests that differ in all that one may differ in.
  std::vector<Request> mixed() {
    const std::vector<Ids> read{some_ids(9, 5)};
    const auto context = read_context(model_, read);
    std::vector<Request> requests{ask(some_ids(6, 1)), ask(some_ids(1, 2), 3), ask(some_ids(13, 3)),
                                  ask(some_ids(4, 4), 1), ask(some_ids(7, 6))};
    requests[1].past = {{context, 0}};
    requests[1].own.assign(4, {.start = 9});
    requests[2].edit = doubled(2);
    requests[2].decoding.repetition_penalty = 1.5;
    requests[4].own.assign(4, {.start = 2});
    requests[4].own[1].lookahead = 3;
    return requests;
  }

  std::vector<int64_t> edited_;  // tokens of each call
};

TEST_F(GenerateTest, ABatchEqualsEachAlone) {
  std::vector<Request> requests = mixed();
  const std::vector<Ids> whole = answers(requests);
  requests[4].decoding.eos = {511, whole[4][2]};  // one ends in the middle
  const std::vector<Ids> together = answers(requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(answers({requests[i]}).front(), together[i]) << i;
  }
  EXPECT_EQ(together[1].size(), 3u);
  EXPECT_EQ(together[3].size(), 1u);
  EXPECT_LE(together[4].size(), 3u);
  EXPECT_EQ(together[4].back(), whole[4][2]);
}

TEST_F(GenerateTest, PassesOfFewTokensEqualOnePass) {
  const std::vector<Request> requests = mixed();
  const std::vector<Ids> expected = answers(requests);
  for (const int64_t most : {1, 2, 5, 12}) {
    edited_.clear();
    EXPECT_EQ(answers(decoder(most), requests), expected) << most << " tokens a pass";
    EXPECT_EQ(edited_, Ids{13});  // its sequence is never cut
  }
}

TEST_F(GenerateTest, AnEditChangesItsOwnSequenceAlone) {
  const std::vector<Request> plain{ask(some_ids(6, 1)), ask(some_ids(5, 2)), ask(some_ids(3, 3))};
  std::vector<Request> requests = plain;
  requests[1].edit = Edit{.layer = 1, .apply = [](at::Tensor& x) { x.neg_(); }};
  const std::vector<Ids> before = answers(plain), after = answers(requests);
  EXPECT_EQ(after[0], before[0]);
  EXPECT_NE(after[1], before[1]);
  EXPECT_EQ(after[2], before[2]);
}

TEST_F(GenerateTest, VectorsAreReadInTheirPlaces) {
  // An embedding given as a vector is the id itself; of several requests each takes its own.
  const std::vector<Request> plain{ask(some_ids(6, 1)), ask(some_ids(5, 2)), ask(some_ids(3, 3))};
  std::vector<Request> requests = plain;
  for (const auto& [request, places] : std::map<size_t, Ids>{{0, {0, 4, 5}}, {2, {1}}}) {
    Prompt& prompt = requests[request].prompt;
    Ids taken;
    for (const int64_t place : places) {
      taken.push_back(std::exchange(prompt.ids[static_cast<size_t>(place)], Prompt::kVector));
    }
    prompt.vectors = model_.embed(taken);
  }
  EXPECT_EQ(answers(requests), answers(plain));
  EXPECT_EQ(answers(decoder(2), requests), answers(plain));
}

TEST_F(GenerateTest, OfAPromptWithVectorsTheAnswerAloneIsPenalised) {
  Request plain = ask(some_ids(6, 1), 12), penalised = plain;
  penalised.decoding.repetition_penalty = 1e6;
  penalised.prompt.vectors = model_.embed(Ids{penalised.prompt.ids[2]});
  penalised.prompt.ids[2] = Prompt::kVector;
  const std::vector<Ids> got = answers({plain, penalised});
  EXPECT_EQ(got[1].front(), got[0].front());  // nothing came before
  const std::set<int64_t> distinct(got[1].begin(), got[1].end());
  EXPECT_EQ(distinct.size(), got[1].size());
}

TEST_F(GenerateTest, BeginningsThatAreTakenEqualReadingTheWhole) {
  std::vector<Request> requests{ask(some_ids(9, 1)), ask(some_ids(9, 1)), ask(some_ids(7, 2)),
                                ask(some_ids(2, 3))};
  requests[1].prompt.ids.back() = 3;
  const std::vector<Ids> expected = answers(requests);
  requests[0].head = requests[1].head = 8;
  requests[2].head = 2;  // the last is read whole
  PrefixCache prefixes;
  for (int round = 0; round < 2; ++round) EXPECT_EQ(answers(requests, &prefixes), expected);
  EXPECT_EQ(answers(requests), expected);  // without a cache heads mean nothing
}

TEST_F(GenerateTest, ContextsBehindBeginningsAreThoseReadWhole) {
  const std::vector<Ids> read{some_ids(9, 1), some_ids(4, 2), some_ids(9, 1)};
  const auto whole = read_context(model_, read);
  PrefixCache prefixes;
  const Heads heads{&prefixes, {5, 0, 8}};
  expect_near(*read_context(model_, read, {}, heads), *whole);
  expect_near(last_hidden(model_, read, 2, {}, heads), last_hidden(model_, read, 2));
}

TEST_F(GenerateTest, ABeginningIsReadOnce) {
  PrefixCache prefixes;
  const Ids ids = some_ids(5, 1);
  const auto first = prefixes.read(model_, ids);
  EXPECT_EQ(prefixes.read(model_, ids), first);
  EXPECT_NE(prefixes.read(model_, some_ids(4, 1)), first);
  for (int64_t other = 0; other < 40; ++other) prefixes.read(model_, some_ids(2, 10 + other));
  EXPECT_EQ(first->tokens, Ids{5});  // whoever has it keeps it, however many came after
  expect_near(*prefixes.read(model_, ids), *first);
}

TEST_F(GenerateTest, AContextsPassesDoNotShow) {
  const std::vector<Ids> read{some_ids(9, 1), some_ids(4, 2), some_ids(1, 3)};
  const auto expected = read_context(model_, read);
  for (const int64_t most : {1, 3, 10}) {
    std::vector<int64_t> seen;
    int64_t rows = 0;
    const Observer observer{.on_kv = [&](int64_t layer, const LayerKv& kv) {
      seen.push_back(layer);
      rows = kv.k.size(0);
    }};
    expect_near(*read_context(decoder(most), read, observer), *expected);
    EXPECT_EQ(seen, (std::vector<int64_t>{0, 1, 2, 3}));  // once each, when all of it is there
    EXPECT_EQ(rows, 14);
  }
}

TEST_F(GenerateTest, LastHiddenIsTheLastTokensInputOfTheLayer) {
  const std::vector<Ids> read{some_ids(9, 1), some_ids(4, 2)};
  std::vector<at::Tensor> expected;
  for (const Ids& ids : read) {
    KvCache cache(model_.config(), 3, std::vector<SlotPlan>{{.capacity = std::ssize(ids)}},
                  model_.options());
    Step step = model_.step(cache, {{.tokens = std::ssize(ids)}}, Step::Phase::kPrefill);
    expected.push_back(model_.layers(model_.embed(ids), {0, 3}, step, cache)[-1].clone());
  }
  expect_near(last_hidden(model_, read, 3), at::stack(expected));
  expect_near(last_hidden(decoder(2), read, 3), at::stack(expected));
}

TEST_F(GenerateTest, WithoutAContextNothingIsImportant) {
  const std::vector<Request> requests{ask(some_ids(6, 1))};
  EXPECT_EQ(context_importance(model_, requests),
            std::vector<std::vector<double>>{std::vector<double>(4, 0.0)});
}

TEST_F(GenerateTest, SecondsAreSharedByTokens) {
  const std::vector<Request> requests{ask(some_ids(6, 1), 2), ask(some_ids(3, 2), 4)};
  const std::vector<Answer> got = generate(model_, requests);
  EXPECT_GT(got[0].prefill_s, 0);
  EXPECT_NEAR(got[0].prefill_s / got[1].prefill_s, 2, 1e-9);
  EXPECT_NEAR(got[1].decode_s / got[0].decode_s, 2, 1e-9);
}

TEST_F(GenerateTest, NothingAskedIsNothingAnswered) {
  EXPECT_TRUE(generate(model_, {}).empty());
  EXPECT_TRUE(generate_vectors(model_, {}, {.max_steps = 3}).empty());
}

TEST_F(GenerateTest, RequestsThatCannotBeAnsweredAreRefused) {
  EXPECT_THROW(answers({ask(some_ids(3, 1)), ask({})}), Error);
  EXPECT_THROW(answers({ask(some_ids(3, 1), 0)}), Error);
  EXPECT_THROW(answers({ask({1, 512})}), Error);  // the vocabulary has 512
  EXPECT_THROW(read_context(model_, std::vector<Ids>{{1}, {}}), Error);
}

// ---- CIPHER's decoding

TEST_F(GenerateTest, ColdVectorsAreTheEmbeddingsOfGreedyIds) {
  const std::vector<Request> requests{ask(some_ids(6, 1)), ask(some_ids(3, 2)),
                                      ask(some_ids(9, 3))};
  const std::vector<Ids> ids = answers(requests);
  const std::vector<VectorAnswer> cold =
      generate_vectors(model_, requests, {.max_steps = 8, .temperature = 0, .eos = -1});
  for (size_t i = 0; i < requests.size(); ++i) {
    expect_near(cold[i].vectors, model_.embed(ids[i]), 1e-6);
  }
  // It ends where the nearest embedding is the end's, which is not emitted.
  const auto end = std::ranges::find(ids[0], ids[0][3]);
  const std::vector<VectorAnswer> ended = generate_vectors(
      model_, std::span(requests).first(1), {.max_steps = 8, .temperature = 0, .eos = *end});
  EXPECT_EQ(ended[0].vectors.size(0), end - ids[0].begin());
}

TEST_F(GenerateTest, VectorsOfABatchAreThoseOfEachAlone) {
  const std::vector<Request> requests = mixed();
  const VectorDecoding decoding{.max_steps = 5, .temperature = 0.7, .eos = -1};
  const std::vector<VectorAnswer> together = generate_vectors(model_, requests, decoding);
  ASSERT_EQ(together.size(), requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto alone = generate_vectors(model_, std::span(requests).subspan(i, 1), decoding);
    EXPECT_EQ(together[i].vectors.size(0), 5);
    EXPECT_TRUE(at::equal(alone.front().vectors, together[i].vectors)) << i;
  }
}

TEST_F(GenerateTest, PassesAndBeginningsDoNotChangeAVectorsLastBit) {
  // No step rounds to an id, so that a last bit would grow from step to step.
  std::vector<Request> requests{ask(some_ids(9, 1)), ask(some_ids(13, 3))};
  for (Request& request : requests) request.head = 6;
  const VectorDecoding decoding{.max_steps = 5, .temperature = 0.7, .eos = -1};
  const std::vector<VectorAnswer> expected = generate_vectors(model_, requests, decoding);
  PrefixCache prefixes;
  const auto in_passes = generate_vectors(decoder(2), requests, decoding);
  const auto behind_heads = generate_vectors(model_, requests, decoding, {.prefixes = &prefixes});
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_TRUE(at::equal(in_passes[i].vectors, expected[i].vectors)) << i;
    EXPECT_TRUE(at::equal(behind_heads[i].vectors, expected[i].vectors)) << i;
  }
}

}  // namespace
}  // namespace kvcomm::testing
