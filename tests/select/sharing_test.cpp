// From a method's parameters to its layers.
#include "method/sharing.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace kvcomm {
namespace {

using Layers = std::vector<int>;
using Json = nlohmann::ordered_json;

const std::vector<double> kImportance = {0.1, 0.4, 0.2, 0.3, 0.05};

bool needs_importance(const MethodSpec& spec) {
  return profile_of(spec, Fidelity::paper()).calibration_samples > 0;
}

MethodSpec spec(const char* name, const Json& set) {
  return make_method_spec(*find_method(name), set, 42);
}

Layers chosen(const MethodSpec& spec, const Fidelity& fidelity = Fidelity::paper()) {
  return type_of(spec).choose(spec, kImportance, 5, fidelity).layers();
}

TEST(Sharing, EveryMethodChoosesByItsParameters) {
  for (const char* name : {"kvcomm", "kvcomm_s"}) {
    EXPECT_EQ(chosen(spec(name, {{"ratio", 0.5}})), (Layers{1, 2, 3})) << name;
    EXPECT_EQ(chosen(spec(name, {{"ratio", 0.5}}), Fidelity::release()), (Layers{1, 3})) << name;
    EXPECT_EQ(chosen(spec(name, {{"layer_count", 4}})), (Layers{0, 1, 2, 3})) << name;
    EXPECT_EQ(chosen(spec(name, {{"layer_count", 4}}), Fidelity::release()), (Layers{0, 1, 2, 3}));
    EXPECT_EQ(chosen(spec(name, Json{{"layers", Layers{0, 4}}})), (Layers{0, 4})) << name;
    EXPECT_TRUE(needs_importance(spec(name, {{"layer_count", 1}})));
    EXPECT_FALSE(needs_importance(spec(name, Json{{"layers", Layers{0, 4}}})));
  }
  EXPECT_EQ(chosen(spec("contiguous", {{"from", 1}, {"to", 2}})), (Layers{1, 2}));
  EXPECT_EQ(chosen(spec("random", {{"ratio", 0.4}})).size(), 2u);
  for (const char* name : {"ac", "nld", "cipher", "baseline", "skyline"}) {
    EXPECT_FALSE(shares_layers(spec(name, Json::object()))) << name;
    EXPECT_FALSE(needs_importance(spec(name, Json::object()))) << name;
  }
}

TEST(Sharing, CountsTheLayersThatAreSentWhole) {
  const Fidelity paper = Fidelity::paper(), release = Fidelity::release();
  EXPECT_EQ(layers_sent(spec("kvcomm", {{"ratio", 0.5}}), 5, paper).text(), "3");
  EXPECT_EQ(layers_sent(spec("kvcomm", {{"ratio", 0.5}}), 5, release).text(),
            "2 to 3");  // 2 and layer 0
  EXPECT_EQ(layers_sent(spec("kvcomm_s", {{"ratio", 1.0}}), 5, release).text(), "5");
  EXPECT_EQ(layers_sent(spec("kvcomm", {{"layer_count", 4}}), 5, paper).text(), "4");
  EXPECT_EQ(layers_sent(spec("kvcomm", {{"ratio", 0.1}}), 5, release).text(), "1");
  EXPECT_EQ(layers_sent(spec("contiguous", {{"from", 0}, {"to", 2}}), 5, release).text(), "3");
  EXPECT_EQ(layers_sent(spec("contiguous", {{"from", 1}, {"to", 2}}), 5, release).text(), "3");
  EXPECT_EQ(layers_sent(spec("kvcomm", Json{{"layers", Layers{0, 4}}}), 5, release).text(), "2");
  EXPECT_THROW(layers_sent(spec("kvcomm", {{"layer_count", 6}}), 5, paper), Error);
  EXPECT_THROW(layers_sent(spec("contiguous", {{"from", 1}, {"to", 5}}), 5, paper), Error);
}

}  // namespace
}  // namespace kvcomm
