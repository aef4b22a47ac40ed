// An open file that is closed again.
#pragma once

#include <filesystem>

namespace kvcomm {

class Descriptor {
 public:
  // flags: as of open(2). Fails (kUsage) where the file cannot be opened so.
  Descriptor(const std::filesystem::path& path, int flags);
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace kvcomm
