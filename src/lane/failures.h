// What went wrong with some samples' work, and whether anything can follow it.
#pragma once

#include <c10/core/Device.h>

#include <exception>
#include <string>

namespace kvcomm {

// The sentence alone: libtorch's errors carry a stack trace. It begins with kOutOfMemory where
// memory did not suffice.
std::string reason_of(const std::exception& error);

// To be called where `error` is caught: throws on what no later work can follow, which must not
// become failed rows. The two ends no longer agree on what comes next (broken: a pipe says so), or
// the device is lost.
void throw_if_fatal(const std::exception& error, bool broken, at::Device device);

}  // namespace kvcomm
