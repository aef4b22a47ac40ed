// The device that tests of the model run on: KVCOMM_TEST_DEVICE, "cpu" where it is not set.
#pragma once

#include <c10/core/Device.h>

#include <cstdlib>

namespace kvcomm::testing {

inline c10::Device test_device() {
  const char* name = std::getenv("KVCOMM_TEST_DEVICE");
  return c10::Device(name == nullptr ? "cpu" : name);
}

}  // namespace kvcomm::testing
