// Seconds on a device that works on after the call, as a GPU does; a made-up one stands for it.
#include "model/device_watch.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace kvcomm {
namespace {

using Clock = std::chrono::steady_clock;

Clock::time_point busy_until;  // what was queued is done then
bool broken = false;

struct SlowDevice : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1> {
  void synchronizeStream(const c10::Stream&) const override {
    std::this_thread::sleep_until(busy_until);
  }
  void synchronizeDevice(c10::DeviceIndex) const override {
    TORCH_CHECK(!broken, "an illegal memory access was encountered");
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, SlowDevice)

void queue_work() { busy_until = Clock::now() + std::chrono::milliseconds(100); }

TEST(DeviceWatchTest, WorkEndsWhenTheDeviceHasDoneIt) {
  const DeviceWatch watch(c10::Device(c10::kPrivateUse1, 0));
  queue_work();
  EXPECT_GE(watch.elapsed_s(), 0.1);
}

TEST(DeviceWatchTest, WhatWasQueuedBeforeIsNotMeasured) {
  queue_work();
  const DeviceWatch watch(c10::Device(c10::kPrivateUse1, 0));
  EXPECT_GE(Clock::now(), busy_until);
  EXPECT_LT(watch.elapsed_s(), 0.1);
}

TEST(DeviceWatchTest, TheProcessorIsNotWaitedFor) {
  queue_work();
  const DeviceWatch watch(c10::kCPU);
  EXPECT_LT(watch.elapsed_s(), 0.1);
  EXPECT_LT(Clock::now(), busy_until);
}

TEST(DeviceWorks, UntilItSaysThatItCannotGoOn) {
  const c10::Device device(c10::kPrivateUse1, 0);
  EXPECT_TRUE(device_works(device));
  broken = true;
  EXPECT_FALSE(device_works(device));
  EXPECT_TRUE(device_works(c10::kCPU));
}

}  // namespace
}  // namespace kvcomm
