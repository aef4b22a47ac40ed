// What methods cost in closed form: the paper's ratio, and the second count by PyTorch.
#include "method/cost.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/paths.h"

namespace kvcomm::testing {
namespace {

using Json = nlohmann::ordered_json;

MethodSpec spec_of(const char* name, const Json& set = Json::object()) {
  return make_method_spec(*find_method(name), set, /*default_seed=*/42);
}

// Llama 3.2 3B's shape.
const ModelConfig kModel{.layers = 28,
                         .hidden = 3072,
                         .heads = 24,
                         .kv_heads = 8,
                         .head_dim = 128,
                         .intermediate = 8192,
                         .vocab = 128256};

double total(const MethodSpec& spec, const SampleTokens& tokens) {
  const SampleFlops flops = SampleCost(spec, Fidelity::paper(), {kModel}, kModel).of(tokens);
  return flops.senders.all + flops.answering.all;
}

class PaperRatio : public ::testing::TestWithParam<int64_t> {};  // layers sent

// Figure 8: with |Skyline| = |C| + |Q|, equally many steps, a sender of the whole depth and full
// squares, (Skyline - AC) / (KVComm - AC) is (2|Q| + T) / (r (|Q| + T)). T counts steps, one less
// than the tokens generated.
TEST_P(PaperRatio, ExcessOverAcIsTheClosedForm) {
  for (const auto& [context, question, steps] :
       {std::array<int64_t, 3>{62, 38, 10}, {4000, 55, 64}, {1, 1, 0}}) {
    const int64_t answer = steps + 1;
    const std::vector<SampleTokens::Sender> sender{{.context = context}};
    const double skyline = total(spec_of("skyline"),
                                 {.senders = {{}}, .prompt = context + question, .answer = answer});
    const double ac = total(spec_of("ac", {{"k", kModel.layers}, {"j", 0}}),
                            {.senders = sender, .prompt = question, .answer = answer});
    const double kvcomm = total(
        spec_of("kvcomm"),
        {.senders = sender, .prompt = question, .answer = answer, .whole_layers = GetParam()});
    const auto q = static_cast<double>(question), t = static_cast<double>(steps);
    const double ratio = static_cast<double>(GetParam()) / static_cast<double>(kModel.layers);
    EXPECT_DOUBLE_EQ((skyline - ac) / (kvcomm - ac), (2 * q + t) / (ratio * (q + t)));
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, PaperRatio, ::testing::Values(1, 9, 14, 20, 28));

TEST(Cost, TheReleaseReadsOneRowInLayersThatAreNotSent) {
  const SampleTokens tokens{
      .senders = {{.context = 50}}, .prompt = 20, .answer = 4, .whole_layers = 10};
  const auto attention = [&](const Fidelity& fidelity) {
    return SampleCost(spec_of("kvcomm"), fidelity, {kModel}, kModel).of(tokens).answering.attention;
  };
  const double more = attention(Fidelity::release()) - attention(Fidelity::paper());
  EXPECT_EQ(more, 18 * 4.0 * 24 * 128 * (20 + 3));  // a row, in 18 layers, for each token read
}

TEST(Cost, SeveralSendersReadEachItsOwn) {
  const MethodSpec spec = spec_of("kvcomm");
  const auto flops = [&](std::vector<SampleTokens::Sender> senders) {
    const std::vector<ModelConfig> models(senders.size(), kModel);
    return SampleCost(spec, Fidelity::paper(), models, kModel)
        .of({.senders = std::move(senders), .prompt = 9, .answer = 2, .whole_layers = 5});
  };
  const SampleFlops one = flops({{.context = 30}}), two = flops({{.context = 10}, {.context = 20}});
  EXPECT_EQ(one.answering.all, two.answering.all);
  EXPECT_EQ(one.senders.attention - two.senders.attention,
            28 * 4.0 * 24 * 128 * (30 * 30 - 10 * 10 - 20 * 20));
}

// tests/parity/flops.json: by PyTorch's counter of operations, on the tiny checkpoints.
TEST(Cost, EqualsPyTorchsCount) {
  std::ifstream file(source_dir() / "tests/parity/flops.json");
  const Json all = Json::parse(file);
  ASSERT_GT(all.size(), 40u);
  for (const Json& one : all) {
    const std::string checkpoint = one.at("checkpoint");
    const ModelConfig model =
        load_model_config(source_dir() / "tests/parity/checkpoints" / checkpoint);
    const Fidelity fidelity =
        one.at("fidelity") == "paper" ? Fidelity::paper() : Fidelity::release();
    const MethodSpec spec = make_method_spec(*find_method(one.at("method").get<std::string>()),
                                             one.at("parameters"), 42, fidelity);
    const SampleTokens tokens{.senders = {{.context = one.at("context"), .said = one.at("said")}},
                              .first_prompt = one.at("first_prompt"),
                              .first_answer = one.at("first_answer"),
                              .prompt = one.at("prompt"),
                              .answer = one.at("answer"),
                              .whole_layers = one.at("whole_layers")};
    const SampleFlops flops = SampleCost(spec, fidelity, {model}, model).of(tokens);
    const std::string where = one.dump();
    EXPECT_EQ(flops.senders.all, one.at("sender_flops").get<double>()) << where;
    EXPECT_EQ(flops.answering.all, one.at("receiver_flops").get<double>()) << where;
    EXPECT_EQ(flops.senders.attention + flops.answering.attention,
              one.at("attention_flops").get<double>())
        << where;
  }
}

}  // namespace
}  // namespace kvcomm::testing
