// A device's work: how long it takes, and whether it can go on. What a GPU is asked to do is only
// queued when the call returns: a clock that is read then says when it was asked, not when it was
// done.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <exception>

#include "base/clock.h"

namespace kvcomm {

// Waits until the device has done what this thread has queued on its current stream; returns at
// once on the CPU, whose calls are done when they return.
inline void wait_for_device(c10::Device device) {
  if (device.is_cpu()) return;
  const auto* guard = c10::impl::getDeviceGuardImpl(device.type());
  guard->synchronizeStream(guard->getStream(device));
}

// Whether a device can go on: after some errors (a kernel's access to memory that is not its own)
// every later call to a GPU fails, whatever it is asked for.
inline bool device_works(c10::Device device) {
  if (device.is_cpu()) return true;
  try {
    c10::impl::getDeviceGuardImpl(device.type())->synchronizeDevice(device.index());
  } catch (const std::exception&) {
    return false;  // whoever asks has the first error, which says more
  }
  return true;
}

// Measures the work that is queued between its construction and elapsed_s().
class DeviceWatch {
 public:
  explicit DeviceWatch(c10::Device device) : device_(device) {
    wait_for_device(device_);
    start_s_ = now_s();
  }

  Seconds elapsed_s() const {
    wait_for_device(device_);
    return now_s() - start_s_;
  }

 private:
  c10::Device device_;
  Seconds start_s_ = 0;
};

}  // namespace kvcomm
