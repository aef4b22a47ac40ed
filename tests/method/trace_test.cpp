// What a method declares is what it does: over the loopback channel, the ledger's trace is the
// script, and the bytes are the closed form. Over the other back ends: trace_mpi_test.cpp.
#include <c10/core/InferenceMode.h>

#include "comm/loopback_channel.h"
#include "tests/method/exchange.h"

namespace kvcomm::testing {
namespace {

class TraceTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  c10::InferenceMode guard_;
  TinyPair pair_{GetParam()};
};

TEST_P(TraceTest, EveryMethodSendsWhatItsScriptDeclares) {
  uint32_t cell = 0;
  for (const MethodSpec& spec : method_variants()) {
    SCOPED_TRACE(spec.label());
    const auto method = make_method(spec, pair_.layers_of(spec));
    const Turn turn{.task = 3, .cell = ++cell, .attempt = 1};
    auto [outgoing, incoming] = LoopbackChannel::make({});
    const Exchange done = exchange(*method, pair_, turn, outgoing.get(), incoming.get());
    EXPECT_EQ(outgoing->ledger().trace(), pair_.declared(*method, turn));
    EXPECT_EQ(incoming->ledger().trace(), pair_.declared(*method, turn));
    EXPECT_EQ(incoming->ledger().total(), outgoing->ledger().total());
    EXPECT_EQ(done.requests.size(), 3u);
    EXPECT_EQ(done.arrivals.size(), method->script().empty() ? 0u : 3u);
  }
}

TEST_P(TraceTest, SamplesShareTheBytesByTheirTokens) {
  const auto method = make_kvcomm(std::vector<int>{1, 3});
  auto [outgoing, incoming] = LoopbackChannel::make({});
  const Turn turn{.task = 1, .cell = 8, .attempt = 2};
  const Exchange done = exchange(*method, pair_, turn, outgoing.get(), incoming.get());
  Batch reader = pair_.batch();
  for (size_t i = 0; i < 3; ++i) {
    const uint64_t tokens = reader.context_ids()[i].size();
    const uint64_t a_layer = 2 * tokens * 2 * 8 * pair_.model().options().dtype().itemsize();
    const uint32_t sample = reader.samples()[i]->index;
    EXPECT_EQ(incoming->ledger().of_sample(8, sample, 2).payload, 2 * a_layer);
    EXPECT_EQ(incoming->ledger().kv_layers_of_sample(8, sample, 2),
              (std::vector<uint64_t>{0, a_layer, 0, a_layer}));
    EXPECT_EQ(done.arrivals[i].context_tokens, static_cast<int64_t>(tokens));
    EXPECT_EQ(done.arrivals[i].layers, 2);
    EXPECT_EQ(done.arrivals[i].failure, "");
  }
}

TEST_P(TraceTest, ContextsAreReadOnceForAllMethods) {
  Batch sent = pair_.batch();
  std::vector<const void*> first, second;
  const auto note = [](std::vector<const void*>& keys) {
    return Observer{.after_layer = [&keys](int64_t, const LayerKv& kv) {
      keys.push_back(kv.k.const_data_ptr());
    }};
  };
  sent.context(note(first));
  sent.context(note(second));
  EXPECT_EQ(first.size(), 4u);
  EXPECT_EQ(first, second);
}

TEST_P(TraceTest, ReceiversOwnTokensStandBehindTheContextInEveryLayer) {
  const auto method = make_kvcomm(std::vector<int>{2});
  auto [outgoing, incoming] = LoopbackChannel::make({});
  const Exchange done = exchange(*method, pair_, {.task = 1, .cell = 1, .attempt = 1},
                                 outgoing.get(), incoming.get());
  Batch reader = pair_.batch();
  for (size_t i = 0; i < 3; ++i) {
    const auto tokens = static_cast<int64_t>(reader.context_ids()[i].size());
    EXPECT_EQ(done.requests[i].start.with_context, tokens);
    EXPECT_EQ(done.requests[i].start.without_context, tokens);
    ASSERT_EQ(done.requests[i].past.size(), 1u);
    EXPECT_EQ(done.requests[i].past[0].rows(), tokens);
    for (int layer = 0; layer < 4; ++layer) {
      EXPECT_EQ(done.requests[i].past[0].layer(layer).present(), layer == 2);
    }
  }
}

TEST_P(TraceTest, TheNamedEndAnswers) {
  const auto answers_at = [](const char* model) {
    return make_method(make_method_spec(*find_method_kind("skyline"), {{"model", model}}, 0), {})
        ->answers_at();
  };
  EXPECT_EQ(answers_at("sender"), End::kSender);
  EXPECT_EQ(answers_at("receiver"), End::kReceiver);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, TraceTest, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& instance) { return c10::toString(instance.param); });

}  // namespace
}  // namespace kvcomm::testing
