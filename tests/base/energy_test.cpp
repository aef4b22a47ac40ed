// Joules of the processors, from files such as Linux's; a GPU's need one.
#include "base/energy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "tests/support/paths.h"

namespace kvcomm::testing {
namespace {

using ::testing::HasSubstr;

class EnergyTest : public ::testing::Test {
 protected:
  void write(const std::string& zone, const char* file, const std::string& text) const {
    std::filesystem::create_directories(folder_.path() / zone);
    std::ofstream(folder_.path() / zone / file) << text;
  }
  void add_zone(const std::string& zone, const std::string& name, uint64_t microjoules) const {
    write(zone, "name", name + "\n");
    write(zone, "max_energy_range_uj", "1000000000\n");
    write(zone, "energy_uj", std::to_string(microjoules) + "\n");
  }
  EnergyMeter meter(const std::string& gpu = "") const { return EnergyMeter(gpu, folder_.path()); }

  TemporaryFolder folder_;
};

TEST_F(EnergyTest, ThePackagesAreSummedSinceTheMeterWasMade) {
  add_zone("intel-rapl:0", "package-0", 5'000'000);
  add_zone("intel-rapl:1", "package-1", 100);
  add_zone("intel-rapl:0:0", "core", 7);                  // a part of a package
  add_zone("intel-rapl-mmio:0", "package-0", 5'000'000);  // the first again
  EnergyMeter meter = this->meter();
  EXPECT_EQ(meter.silence(), "");
  EXPECT_EQ(meter.joules(), 0);
  add_zone("intel-rapl:0", "package-0", 7'500'000);
  add_zone("intel-rapl-mmio:0", "package-0", 7'500'000);
  add_zone("intel-rapl:0:0", "core", 90'000'000);
  EXPECT_DOUBLE_EQ(meter.joules(), 2.5);
  add_zone("intel-rapl:1", "package-1", 1'000'100);
  EXPECT_DOUBLE_EQ(meter.joules(), 3.5);
  EXPECT_DOUBLE_EQ(meter.host_joules(), 3.5);
}

TEST_F(EnergyTest, ACounterThatBeganAnewGoesOn) {
  add_zone("intel-rapl:0", "package-0", 999'000'000);
  EnergyMeter meter = this->meter();
  add_zone("intel-rapl:0", "package-0", 2'000'000);
  EXPECT_DOUBLE_EQ(meter.joules(), 3);
}

TEST_F(EnergyTest, WhatIsNotToldIsNoNumberAndSaysWhy) {
  EnergyMeter none = meter();
  EXPECT_TRUE(std::isnan(none.joules()));
  EXPECT_THAT(none.silence(), HasSubstr("no counter of a processor package"));
  add_zone("intel-rapl:0", "package-0", 1);
  EnergyMeter no_gpu = meter("00112233445566778899aabbccddeeff");
  EXPECT_TRUE(std::isnan(no_gpu.joules())) << "a GPU's joules are not the host's";
  EXPECT_FALSE(std::isnan(no_gpu.host_joules()));
  EXPECT_THAT(no_gpu.silence(), HasSubstr("No joules are measured"));
}

}  // namespace
}  // namespace kvcomm::testing
