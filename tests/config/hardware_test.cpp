// A machine's rates, from a file.
#include "config/hardware.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "tests/support/paths.h"

namespace kvcomm::testing {
namespace {

using ::testing::HasSubstr;

class HardwareTest : public ::testing::Test {
 protected:
  Hardware load(const std::string& text) {
    std::ofstream(folder_.path() / "h.toml") << text;
    return load_hardware(folder_.path() / "h.toml");
  }
  std::string refusal(const std::string& text) {
    try {
      load(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kUsage);
      return error.what();
    }
    return "accepted";
  }

  const std::string good_ =
      "flops_per_s = 1e14\nbytes_per_s = 1e12\nstep_s = 1e-3\nload_bytes_per_s = 1e9\n"
      "wire_bytes_per_s = 1e10\nmemory_bytes = 8e10\n";
  TemporaryFolder folder_;
};

TEST_F(HardwareTest, IsReadWhole) {
  const Hardware hardware = load(good_ + "device = \"cpu\"\n");
  EXPECT_EQ(hardware.flops_per_s, 1e14);
  EXPECT_EQ(hardware.memory_bytes, 80'000'000'000);
  EXPECT_EQ(hardware.device, "cpu");
  EXPECT_EQ(hardware.name, "h");
}

TEST_F(HardwareTest, IsRefusedWithItsPlace) {
  EXPECT_THAT(refusal("flops_per_s = 1e14"), HasSubstr("h.toml' must give bytes_per_s"));
  EXPECT_THAT(refusal(good_ + "steps = 1"), HasSubstr("unknown key 'steps'"));
  EXPECT_THAT(refusal("flops_per_s = -1"), HasSubstr("above 0"));
  EXPECT_THAT(refusal("flops_per_s = "), HasSubstr("TOML"));
  EXPECT_THAT(refusal(good_ + "device = \"tpu\""), HasSubstr("\"tpu\""));
}

}  // namespace
}  // namespace kvcomm::testing
