#include "base/scratch_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace kvcomm {

ScratchFolder::ScratchFolder(const std::filesystem::path& parent, const std::string& name) {
  std::string path = (parent / (name + "-XXXXXX")).string();
  if (::mkdtemp(path.data()) == nullptr) {
    fail(Exit::kEnvironment, "Nothing can be written to '{}': {}.", parent.string(),
         std::strerror(errno));
  }
  path_ = path;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;  // nothing but our own files is in it
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace kvcomm
