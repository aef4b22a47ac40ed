// A folder for what nobody needs afterwards.
#pragma once

#include <filesystem>
#include <string>

namespace kvcomm {

// New below `parent`, its name begins with `name`; removed with all that is in it.
class ScratchFolder {
 public:
  // Fails (kEnvironment) where the parent takes no folder.
  ScratchFolder(const std::filesystem::path& parent, const std::string& name);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace kvcomm
