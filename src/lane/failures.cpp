#include "lane/failures.h"

#include <ATen/ATen.h>

#include <new>
#include <string_view>

#include "base/error.h"
#include "model/device_watch.h"
#include "tasks/messages.h"

namespace kvcomm {

namespace {

bool is_out_of_memory(const std::exception& error) {
  // The CPU's allocator throws no type of its own.
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         std::string_view(error.what()).find("DefaultCPUAllocator") != std::string_view::npos;
}

}  // namespace

std::string reason_of(const std::exception& error) {
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  const std::string sentence = torch == nullptr ? error.what() : torch->what_without_backtrace();
  return is_out_of_memory(error) ? fmt::format("{}{}", kOutOfMemory, sentence) : sentence;
}

void throw_if_fatal(const std::exception& error, bool broken, at::Device device) {
  const auto* own = dynamic_cast<const Error*>(&error);
  if (broken || (own != nullptr && own->exit() == Exit::kIntegrity)) throw;
  if (device_works(device)) return;
  fail(Exit::kEnvironment,
       "The device {} failed and cannot go on: {}. What is stored is kept; look at the device "
       "(nvidia-smi, dmesg), then start the same command again.",
       device.str(), reason_of(error));
}

}  // namespace kvcomm
