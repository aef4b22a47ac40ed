// The decoder against dumps of transformers 4.53.3 (make_references.py), for every tiny checkpoint.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "model/generate.h"
#include "model/safetensors.h"
#include "tests/support/device.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

constexpr int kContext = 11, kQuestion = 7, kNewTokens = 24;

std::vector<int64_t> to_vector(const at::Tensor& ids) {
  const at::Tensor flat = ids.contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

void expect_close(const at::Tensor& got, const at::Tensor& expected, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(got.sizes(), expected.sizes()) << what;
  const double worst =
      (got.cpu().to(at::kDouble) - expected.cpu().to(at::kDouble)).abs().max().item<double>();
  const double scale = std::max(1.0, expected.to(at::kDouble).abs().max().item<double>());
  EXPECT_LE(worst, tolerance * scale) << what;
}

class Parity : public ::testing::TestWithParam<std::string> {
 protected:
  Parity()
      : folder_(testing::source_dir() / "tests/parity/checkpoints" / GetParam()),
        reference_(folder_ / "reference.safetensors"),
        ids_(to_vector(reference_.tensor("ids"))),
        model_(folder_, at::kFloat, testing::test_device()) {}

  at::Tensor reference(const std::string& name) const { return reference_.tensor(name); }
  std::vector<int64_t> context() const { return {ids_.begin(), ids_.begin() + kContext}; }
  std::vector<int64_t> question() const { return {ids_.begin() + kContext, ids_.end()}; }

  std::vector<OwnTokens> behind(int64_t tokens) const {
    return std::vector<OwnTokens>(static_cast<size_t>(model_.config().layers), {.start = tokens});
  }

  Request ask(std::vector<int64_t> prompt, std::vector<ContextView> past = {}) const {
    const int64_t start = past.empty() ? 0 : past.front().tokens();
    return {.prompt = {std::move(prompt)},
            .past = std::move(past),
            .own = behind(start),
            .decoding = {.max_new_tokens = kNewTokens}};
  }

  // Runs one sequence of ids through all layers of a model, layer by layer: see(layer, x) gets each
  // one's input. Returns what comes out.
  template <typename See>
  static at::Tensor run(const Decoder& model, std::span<const int64_t> ids, const Request& request,
                        const Observer& observer, See&& see) {
    const int64_t layers = model.config().layers;
    const std::vector<SlotPlan> slots{
        {.capacity = std::ssize(ids), .past = request.past, .own = request.own}};
    KvCache cache(model.config(), layers, slots, model.options());
    Step step = model.step(cache, {{.tokens = std::ssize(ids)}}, Step::Phase::kPrefill);
    at::Tensor x = model.embed(ids);
    for (int64_t layer = 0; layer < layers; ++layer) {
      see(layer, x);
      x = model.layers(x, {layer, layer + 1}, step, cache, observer);
    }
    return x;
  }
  static at::Tensor run(const Decoder& model, std::span<const int64_t> ids,
                        const Request& request = {}) {
    return run(model, ids, request, {}, [](int64_t, const at::Tensor&) {});
  }

  // The context with only the given layers shared.
  static std::shared_ptr<const Context> only(const Context& whole, const std::vector<int>& layers) {
    auto part = std::make_shared<Context>(Context{.tokens = whole.tokens});
    part->layers.resize(whole.layers.size());
    for (const int layer : layers) {
      part->layers[static_cast<size_t>(layer)] = whole.layers[static_cast<size_t>(layer)];
    }
    return part;
  }

  c10::InferenceMode guard_;
  std::filesystem::path folder_;
  SafetensorsFile reference_;
  std::vector<int64_t> ids_;
  Decoder model_;
};

TEST_P(Parity, EveryLayersInputKeysAndValues) {
  const Observer observer{.on_kv = [&](int64_t layer, const LayerKv& kv) {
    expect_close(kv.k, reference("k")[layer], 1e-5, fmt::format("k of layer {}", layer));
    expect_close(kv.v, reference("v")[layer], 1e-5, fmt::format("v of layer {}", layer));
  }};
  const at::Tensor x = run(model_, ids_, {}, observer, [&](int64_t layer, const at::Tensor& input) {
    expect_close(input, reference("hidden")[layer], 1e-5, fmt::format("input of layer {}", layer));
  });
  expect_close(model_.logits(x), reference("logits"), 1e-5, "logits");
}

TEST_P(Parity, GreedyTokens) {
  const std::vector<Request> requests{ask(ids_)};
  EXPECT_EQ(generate(model_, requests).front().ids, to_vector(reference("greedy")));
}

TEST_P(Parity, SharedLayersAnswerAsTheSlowDecoder) {
  const std::vector<std::vector<int64_t>> read{context()};
  const auto shared = only(*read_context(model_, read), {0, 2});
  const std::vector<Request> requests{ask(question(), {{shared, 0}})};
  EXPECT_EQ(generate(model_, requests).front().ids, to_vector(reference("shared_greedy")));
  const at::Tensor x = run(model_, question(), requests.front());
  expect_close(model_.logits(x)[kQuestion - 1], reference("shared_logits"), 1e-5, "logits");
}

TEST_P(Parity, ImportanceIsTheAttentionOnTheContext) {
  const std::vector<std::vector<int64_t>> read{context()};
  const std::vector<Request> requests{ask(question(), {{read_context(model_, read), 0}})};
  const std::vector<double> importance = context_importance(model_, requests).front();
  const at::Tensor expected = reference("importance");
  ASSERT_EQ(importance.size(), static_cast<size_t>(expected.numel()));
  for (size_t layer = 0; layer < importance.size(); ++layer) {
    EXPECT_NEAR(importance[layer], expected[static_cast<int64_t>(layer)].item<double>(), 1e-6);
  }
}

TEST_P(Parity, SharingEveryLayerIsReadingItAll) {
  const std::vector<std::vector<int64_t>> read{context()};
  const std::vector<Request> shared{ask(question(), {{read_context(model_, read), 0}})};
  EXPECT_EQ(generate(model_, shared).front().ids, to_vector(reference("greedy")));
}

TEST_P(Parity, TwoSendersContextsAreSeenInOrder) {
  // One context in two parts, the second read behind the first, equals the whole.
  const std::vector<std::vector<int64_t>> read{context()};
  const auto whole = read_context(model_, read);
  const auto cut = [&](int64_t begin, int64_t rows) {
    auto part = std::make_shared<Context>(Context{.tokens = {rows}});
    for (const ContextLayer& layer : whole->layers) {
      part->layers.push_back(
          {.kv = {layer.kv.k.narrow(0, begin, rows), layer.kv.v.narrow(0, begin, rows)},
           .offsets = {0, rows}});
    }
    return part;
  };
  Request request = ask(question(), {{cut(0, 4), 0}, {cut(4, kContext - 4), 0}});
  request.own = behind(kContext);
  EXPECT_EQ(generate(model_, std::vector{request}).front().ids, to_vector(reference("greedy")));
}

TEST_P(Parity, BatchesDoNotChangeAnswers) {
  std::vector<std::vector<int64_t>> contexts;
  std::vector<Request> requests;
  for (const int64_t length : {11, 3, 8, 1}) {
    contexts.emplace_back(ids_.begin(), ids_.begin() + length);
  }
  const auto packed = only(*read_context(model_, contexts), {1, 3});
  for (int i = 0; i < 4; ++i) {
    requests.push_back(ask({ids_.begin() + i, ids_.begin() + 2 * i + 3}, {{packed, i}}));
  }
  const std::vector<Answer> together = generate(model_, requests);
  for (int i = 0; i < 4; ++i) {
    const std::vector<std::vector<int64_t>> alone{contexts[static_cast<size_t>(i)]};
    Request request = requests[static_cast<size_t>(i)];
    request.past = {{only(*read_context(model_, alone), {1, 3}), 0}};
    EXPECT_EQ(generate(model_, std::vector{request}).front().ids,
              together[static_cast<size_t>(i)].ids);
  }
}

TEST_P(Parity, PassesOfAnySizeGiveTheSameAnswers) {
  const std::vector<std::vector<int64_t>> read{context(), {ids_.begin(), ids_.begin() + 5}};
  const auto ask_both = [&](const Decoder& model) {
    const auto shared = only(*read_context(model, read), {0, 2});
    std::vector<Request> requests{ask(question(), {{shared, 0}}), ask(question(), {{shared, 1}})};
    for (Request& request : requests) request.own[1].lookahead = kQuestion;  // not cut, so
    requests.push_back(ask(ids_));
    std::vector<std::vector<int64_t>> answers;
    for (const Answer& answer : generate(model, requests)) answers.push_back(answer.ids);
    return answers;
  };
  const auto expected = ask_both(model_);
  for (const int64_t most : {1, 3, 8, 17}) {
    const Decoder model(folder_, at::kFloat, testing::test_device(), OtherHead::kUsed, most);
    EXPECT_EQ(ask_both(model), expected) << most << " tokens a pass";
    const std::vector<Request> requests{ask(question(), {{read_context(model, read), 0}})};
    const std::vector<double> importance = context_importance(model, requests).front();
    for (size_t layer = 0; layer < importance.size(); ++layer) {
      EXPECT_NEAR(importance[layer],
                  reference("importance")[static_cast<int64_t>(layer)].item<double>(), 1e-6);
    }
  }
}

TEST_P(Parity, AnEosOfTheListEndsTheAnswer) {
  Request request = ask(ids_);
  const std::vector<int64_t> greedy = to_vector(reference("greedy"));
  request.decoding.eos = {-1, greedy[5]};
  const auto first = std::ranges::find(greedy, greedy[5]);
  const std::vector<int64_t> expected(greedy.begin(), first + 1);
  EXPECT_EQ(generate(model_, std::vector{request}).front().ids, expected);
}

TEST_P(Parity, Bfloat16IsAsNearAsTransformersOwn) {
  const Decoder narrow(folder_, at::kBFloat16, testing::test_device());
  const at::Tensor logits = narrow.logits(run(narrow, ids_));
  const auto distance = [&](const at::Tensor& x) {
    return (x.cpu().to(at::kDouble) - reference("logits").to(at::kDouble)).norm().item<double>();
  };
  EXPECT_LE(distance(logits), 2 * distance(reference("logits_bfloat16")));
}

INSTANTIATE_TEST_SUITE_P(TinyCheckpoints, Parity,
                         ::testing::Values("tiny-llama", "tiny-llama3-tied", "tiny-falcon3",
                                           "tiny-qwen2"),
                         [](const auto& checkpoint) {
                           std::string name = checkpoint.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace kvcomm
