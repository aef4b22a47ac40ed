#include "base/descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace kvcomm {

Descriptor::Descriptor(const std::filesystem::path& path, int flags)
    : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
  if (fd_ < 0) fail(Exit::kUsage, "Cannot open '{}': {}.", path.string(), std::strerror(errno));
}

Descriptor::~Descriptor() { ::close(fd_); }

}  // namespace kvcomm
