// Controls: what goes in a tensor's place, and whose message in another's.
#include "method/control.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvcomm::testing {
namespace {

MethodSpec spec_of(const char* method, const nlohmann::ordered_json& set) {
  return make_method_spec(*find_method(method), set, 42);
}

MethodSpec noise(int64_t seed) {
  return spec_of("kvcomm", {{"control", "noise"}, {"control_seed", seed}});
}

// Keys and values of layer 2, of samples 7 and 9 with three rows and two.
Header header() {
  const TensorSpec spec{.layer = 2, .row_shape = {2}};
  return {.samples = {{.sample = 7, .rows = 3}, {.sample = 9, .rows = 2}}, .tensors = {spec, spec}};
}

at::Tensor rows() {
  return at::tensor({1.F, 5.F, 2.F, 4.F, 3.F, 9.F, -1.F, -1.F, -1.F, -1.F}).view({5, 2});
}

// Numbers of the definition (splitmix64, Box and Muller) by Python's integers and math module, for
// seed 3, sample 7, sender 1, layer 2, part 1.
TEST(Control, NoiseHasEachSamplesOwnMeanAndDeviation) {
  const at::Tensor made = substitute_of(noise(3), 1)(header(), 1, rows());
  const std::vector<double> normal{0.757863123062,  -0.439276129156, 0.725297219766,
                                   -1.833812769395, -1.129932420797, -0.853537597719};
  const double mean = 4, deviation = std::sqrt((9 + 1 + 4 + 0 + 1 + 25) / 6.0);
  for (size_t i = 0; i < normal.size(); ++i) {
    EXPECT_NEAR(made.view(-1)[static_cast<int64_t>(i)].item<double>(), mean + deviation * normal[i],
                1e-5);
  }
  // Without deviation there is nothing to draw.
  EXPECT_TRUE(at::equal(made.narrow(0, 3, 2), rows().narrow(0, 3, 2)));
}

TEST(Control, NoiseDependsOnAllThatTellsTensorsApart) {
  const at::Tensor made = substitute_of(noise(3), 1)(header(), 1, rows());
  EXPECT_TRUE(at::equal(made, substitute_of(noise(3), 1)(header(), 1, rows())));
  EXPECT_FALSE(at::equal(made, substitute_of(noise(4), 1)(header(), 1, rows())));
  EXPECT_FALSE(at::equal(made, substitute_of(noise(3), 0)(header(), 1, rows())));
  EXPECT_FALSE(at::equal(made, substitute_of(noise(3), 1)(header(), 0, rows())));
  Header other = header();
  other.samples[0].sample = 8;
  EXPECT_FALSE(at::equal(made, substitute_of(noise(3), 1)(other, 1, rows())));
  other = header();
  other.tensors[1].layer = 1;
  EXPECT_FALSE(at::equal(made, substitute_of(noise(3), 1)(other, 1, rows())));
}

TEST(Control, NoiseOfASampleDoesNotDependOnItsBatch) {
  const at::Tensor together = substitute_of(noise(3), 0)(header(), 0, rows());
  Header alone = header();
  alone.samples.pop_back();
  EXPECT_TRUE(at::equal(substitute_of(noise(3), 0)(alone, 0, rows().narrow(0, 0, 3)),
                        together.narrow(0, 0, 3)));
}

TEST(Control, ZeroIsZerosAndTheMatchedRunItself) {
  const auto zero = substitute_of(spec_of("ac", {{"control", "zero"}}), 0);
  EXPECT_EQ(zero(header(), 0, rows()).abs().sum().item<float>(), 0);
  EXPECT_EQ(substitute_of(spec_of("kvcomm", {}), 0), nullptr);
  EXPECT_EQ(substitute_of(spec_of("nld", {{"control", "deranged"}}), 0), nullptr);
}

TEST(Control, NoSampleKeepsItsOwnMessage) {
  for (const size_t samples : {2, 3, 200}) {
    std::vector<bool> taken(samples, false);
    for (uint32_t i = 0; i < samples; ++i) {
      const uint32_t other = deranged(i, samples);
      EXPECT_NE(other, i);
      EXPECT_FALSE(taken[other]);
      taken[other] = true;
    }
  }
}

TEST(Control, BelongsToMethodsThatSend) {
  const auto choices = [](const char* method) {
    for (const Parameter& parameter : find_method(method)->parameters) {
      if (parameter.name == "control") return parameter.choices;
    }
    return std::vector<std::string>{};
  };
  EXPECT_THAT(choices("baseline"), ::testing::IsEmpty());
  EXPECT_THAT(choices("nld"), ::testing::ElementsAre("deranged"));
  for (const char* method : {"kvcomm", "kvcomm_s", "random", "contiguous", "ac", "cipher"}) {
    EXPECT_THAT(choices(method), ::testing::ElementsAre("deranged", "zero", "noise")) << method;
  }
}

TEST(Control, IsInTheLabelAndTheKeyWhereItIsSet) {
  EXPECT_EQ(noise(3).label(), "kvcomm(control=noise, control_seed=3)");
  EXPECT_TRUE(keyed_parameters(noise(3)).contains("control"));
  const auto keyed = keyed_parameters(spec_of("kvcomm", {{"ratio", 0.5}}));
  for (const char* younger : {"control", "control_seed", "calibration", "recalibrate_every"}) {
    EXPECT_FALSE(keyed.contains(younger)) << younger;
  }
  EXPECT_TRUE(keyed.contains("alpha"));
}

TEST(Control, ASeedWithoutNoiseIsRefused) {
  EXPECT_THAT(control_complaint({{"control", "zero"}, {"control_seed", 1}}),
              ::testing::HasSubstr("leave it out"));
  EXPECT_EQ(control_complaint({{"control", "noise"}, {"control_seed", 1}}), "");
}

}  // namespace
}  // namespace kvcomm::testing
