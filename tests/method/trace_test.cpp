// What a method declares is what it does: over the loopback channel, the ledger's trace is the
// script, and the bytes are the closed form. Over the other back ends: trace_mpi_test.cpp.
#include <c10/core/InferenceMode.h>

#include <gmock/gmock.h>

#include <numeric>

#include "method/debate.h"
#include "tests/method/exchange.h"

namespace kvcomm::testing {
namespace {

using Case = std::tuple<at::ScalarType, const char*>;  // dtype, fidelity

Fidelity fidelity_called(std::string_view name) {
  return name == "paper" ? Fidelity::paper() : Fidelity::release();
}

class TraceTest : public ::testing::TestWithParam<Case> {
 protected:
  c10::InferenceMode guard_;
  const Fidelity fidelity_ = fidelity_called(std::get<1>(GetParam()));
  const bool release_ = fidelity_.name == "release";
  TinyPair pair_{std::get<0>(GetParam()), fidelity_};

  std::unique_ptr<Method> sharing(std::vector<int> layers, const char* name = "kvcomm") const {
    return make_method(make_method_spec(*find_method(name), {}, 42), layers, 4, fidelity_);
  }
};

TEST_P(TraceTest, EveryMethodSendsWhatItsScriptDeclares) {
  uint32_t cell = 0;
  for (const MethodSpec& spec : method_variants()) {
    SCOPED_TRACE(spec.label());
    const auto method = pair_.method(spec);
    const ExchangeId id{.task = 3, .cell = ++cell, .attempt = 1};
    LoopbackPipe pipe({.device = test_device()});
    const Exchange done = exchange(*method, pair_, id, &pipe.sender, &pipe.receiver);
    EXPECT_EQ(pipe.sender.ledger().trace(), pair_.declared(spec, id));
    EXPECT_EQ(pipe.receiver.ledger().trace(), pair_.declared(spec, id));
    EXPECT_EQ(pipe.receiver.ledger().total(), pipe.sender.ledger().total());
    EXPECT_EQ(done.requests.size(), 3u);
    EXPECT_EQ(done.arrivals.size(), method->script(/*sender=*/0).empty() ? 0u : 3u);
  }
}

TEST_P(TraceTest, SamplesShareTheBytesByTheirTokens) {
  const auto method = sharing({1, 3});
  LoopbackPipe pipe({.device = test_device()});
  const ExchangeId id{.task = 1, .cell = 8, .attempt = 2};
  const Exchange done = exchange(*method, pair_, id, &pipe.sender, &pipe.receiver);
  Batch reader = pair_.batch();
  for (size_t i = 0; i < 3; ++i) {
    const uint64_t tokens = reader.context_ids()[i].size();
    const uint64_t a_row = 2 * 2 * 8 * pair_.model().options().dtype().itemsize();
    const uint64_t a_layer = tokens * a_row;
    const std::vector<uint64_t> by_layer =
        release_ ? std::vector<uint64_t>{a_layer, a_layer, a_row, a_layer}
                 : std::vector<uint64_t>{0, a_layer, 0, a_layer};
    const uint32_t sample = reader.samples()[i]->index;
    EXPECT_EQ(pipe.receiver.ledger().of_sample(8, sample, 2).payload,
              std::accumulate(by_layer.begin(), by_layer.end(), uint64_t{0}));
    EXPECT_EQ(pipe.receiver.ledger().kv_layers_of_sample(8, sample, 2), by_layer);
    EXPECT_EQ(done.arrivals[i].context_tokens, static_cast<int64_t>(tokens));
    EXPECT_EQ(done.arrivals[i].layers, release_ ? 3 : 2);
    EXPECT_EQ(done.arrivals[i].failure, "");
  }
}

TEST_P(TraceTest, SamplesShareTheSendersReadingByTheirTokens) {
  using Json = nlohmann::ordered_json;
  for (const auto& [name, set] :
       {std::pair{"kvcomm", Json{{"ratio", 1.0}}}, std::pair{"ac", Json{{"k", 2}, {"j", 1}}},
        std::pair{"nld", Json{{"phase1_tokens", 3}}}}) {
    SCOPED_TRACE(name);
    const MethodSpec spec = make_method_spec(*find_method(name), set, 42);
    LoopbackPipe pipe({.device = test_device()});
    const Exchange done = exchange(*pair_.method(spec), pair_, {.task = 1, .cell = 1, .attempt = 1},
                                   &pipe.sender, &pipe.receiver);
    const ReceivedSample& first = done.arrivals.front();
    EXPECT_GT(first.sender_prefill_s, 0);
    for (const ReceivedSample& arrival : done.arrivals) {
      EXPECT_DOUBLE_EQ(arrival.sender_prefill_s / static_cast<double>(arrival.context_tokens),
                       first.sender_prefill_s / static_cast<double>(first.context_tokens));
    }
  }
}

TEST_P(TraceTest, ContextsAreReadOnceForAllMethods) {
  Batch sent = pair_.batch();
  std::vector<const void*> first, second;
  const auto note = [](std::vector<const void*>& keys) {
    return Observer{
        .on_kv = [&keys](int64_t, const LayerKv& kv) { keys.push_back(kv.k.const_data_ptr()); }};
  };
  sent.context(note(first));
  sent.context(note(second));
  EXPECT_EQ(first.size(), 4u);
  EXPECT_EQ(first, second);
}

TEST_P(TraceTest, ReceiversOwnTokensStandBehindTheContextInEveryLayer) {
  const auto method = sharing({2});
  LoopbackPipe pipe({.device = test_device()});
  const Exchange done =
      exchange(*method, pair_, {.task = 1, .cell = 1, .attempt = 1}, &pipe.sender, &pipe.receiver);
  Batch reader = pair_.batch();
  for (size_t i = 0; i < 3; ++i) {
    const auto tokens = static_cast<int64_t>(reader.context_ids()[i].size());
    ASSERT_EQ(done.requests[i].past.size(), 1u);
    EXPECT_EQ(done.requests[i].past[0].tokens(), tokens);
    ASSERT_EQ(done.requests[i].own.size(), 4u);
    for (int layer = 0; layer < 4; ++layer) {
      const bool whole = layer == 2 || (release_ && layer == 0);
      const OwnTokens& own = done.requests[i].own[static_cast<size_t>(layer)];
      EXPECT_EQ(own.start, tokens);
      EXPECT_EQ(own.lookahead, release_ && !whole ? tokens - 1 : 0);
      const LayerKv kv = done.requests[i].past[0].layer(layer);
      ASSERT_EQ(kv.present(), whole || release_);
      if (kv.present()) {
        EXPECT_EQ(kv.k.size(0), whole ? tokens : 1);
      }
    }
  }
}

TEST_P(TraceTest, KvCommSShiftsTheReceiversTokensBackInUnselectedLayers) {
  const auto method = sharing({2}, "kvcomm_s");
  LoopbackPipe pipe({.device = test_device()});
  const Exchange done =
      exchange(*method, pair_, {.task = 1, .cell = 1, .attempt = 1}, &pipe.sender, &pipe.receiver);
  for (const Request& request : done.requests) {
    for (size_t layer = 0; layer < 4; ++layer) {
      const bool whole = layer == 2 || (release_ && layer == 0);
      EXPECT_EQ(request.own[layer].start, whole ? request.past[0].tokens() : release_ ? 1 : 0);
      EXPECT_EQ(request.own[layer].lookahead, 0);
    }
  }
}

TEST_P(TraceTest, AFirstTokenIsTheContextsOwn) {
  const auto method = sharing({1});
  LoopbackPipe pipe({.device = test_device()});
  const Exchange done =
      exchange(*method, pair_, {.task = 1, .cell = 1, .attempt = 1}, &pipe.sender, &pipe.receiver);
  if (!release_) GTEST_SKIP() << "the paper sends none";
  Batch reader = pair_.batch();
  const Context& all = reader.context({});
  for (int i = 0; i < 3; ++i) {
    const LayerKv sent = done.requests[static_cast<size_t>(i)].past[0].layer(3);
    const int64_t first = all.layers[3].offsets[static_cast<size_t>(i)];
    EXPECT_TRUE(at::equal(sent.k[0], all.layers[3].kv.k[first]));
    EXPECT_TRUE(at::equal(sent.v[0], all.layers[3].kv.v[first]));
  }
}

// The whole debate with an agent that never says a word.
TEST_P(TraceTest, ASampleOfWhichCipherSaysNothingFailsWithTheReason) {
  const MethodSpec spec = make_method_spec(*find_method("cipher"), {{"phase1_tokens", 4}}, 42);
  LoopbackPipe pipe({.device = test_device()});
  Batch sent = pair_.batch(), received = pair_.batch();
  const ExchangeId id{.task = 1, .cell = 1, .attempt = 1};
  sent.begin(id);
  received.begin(id);
  const std::vector<at::Tensor> said(3, at::empty({0, 32}, pair_.model().options()));
  send_first_answers(sent, pipe.sender, PayloadKind::kVectors,
                     sender_questions(sent, Reading::kSay), said);
  const std::vector<ReceiveEnd*> wires{&pipe.receiver};
  pair_.method(spec)->receive(received, wires);
  for (const ReceivedSample& arrival : received.arrivals) {
    EXPECT_THAT(arrival.failure, ::testing::HasSubstr("nothing to say"));
  }
  EXPECT_EQ(pipe.receiver.ledger().of(PayloadKind::kVectors).payload, 0u);
}

TEST_P(TraceTest, AcChangesTheReceiversLastTokenAlone) {
  for (const std::string f : {"replace", "sum", "mean"}) {
    const MethodSpec spec =
        make_method_spec(*find_method("ac"), {{"f", f}, {"k", 2}, {"j", 1}}, 42);
    LoopbackPipe pipe({.device = test_device()});
    const Exchange done =
        exchange(*pair_.method(spec), pair_, {.task = 1, .cell = 1}, &pipe.sender, &pipe.receiver);
    Batch reader = pair_.batch();
    const at::Tensor theirs = last_hidden(pair_.model(), reader.context_ids(), 2);
    for (int i = 0; i < 3; ++i) {
      const Edit& edit = *done.requests[static_cast<size_t>(i)].edit;
      EXPECT_EQ(edit.layer, 1);
      const at::Tensor before = at::ones({3, 32}, pair_.model().options());
      at::Tensor x = before.clone();
      edit.apply(x);
      EXPECT_TRUE(at::equal(x.narrow(0, 0, 2), before.narrow(0, 0, 2)));
      const at::Tensor expected = f == "replace" ? theirs[i]
                                  : f == "sum"   ? theirs[i] + 1
                                                 : (theirs[i] + 1) * 0.5;
      EXPECT_TRUE(at::allclose(x[2], expected)) << f;
    }
  }
}

TEST_P(TraceTest, TheNamedEndAnswers) {
  const auto answers_at = [this](const char* model) {
    const MethodSpec spec = make_method_spec(*find_method("skyline"), {{"model", model}}, 42);
    return profile_of(spec, Fidelity::paper()).answers_at;
  };
  EXPECT_EQ(answers_at("sender"), End::kSender);
  EXPECT_EQ(answers_at("receiver"), End::kReceiver);
}

INSTANTIATE_TEST_SUITE_P(Cases, TraceTest,
                         ::testing::Combine(::testing::Values(at::kFloat, at::kBFloat16),
                                            ::testing::Values("paper", "release")),
                         [](const auto& instance) {
                           return std::string(c10::toString(std::get<0>(instance.param))) +
                                  std::get<1>(instance.param);
                         });

}  // namespace
}  // namespace kvcomm::testing
