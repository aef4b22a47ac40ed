// Where tests find things: the repository, a folder of their own, and ../shared when it is there.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/scratch_folder.h"

namespace kvcomm::testing {

// The repository, as it was compiled in; $KVCOMM_SOURCE_DIR where the test was carried elsewhere.
inline std::filesystem::path source_dir() {
  const char* moved = std::getenv("KVCOMM_SOURCE_DIR");
  return moved != nullptr ? moved : KVCOMM_SOURCE_DIR;
}

// The folder of real inputs that lies beside a developer's checkout; empty when it does not.
inline std::filesystem::path shared_dir() {
  const char* named = std::getenv("KVCOMM_SHARED");
  const std::filesystem::path folder =
      named != nullptr ? std::filesystem::path(named) : source_dir().parent_path() / "shared";
  return std::filesystem::is_directory(folder) ? folder : std::filesystem::path();
}

// An empty folder of the running test's own, removed at the end.
class TemporaryFolder : public ScratchFolder {
 public:
  TemporaryFolder() : ScratchFolder(std::filesystem::temp_directory_path(), "kvcomm-test") {}
};

}  // namespace kvcomm::testing

// Skips, loudly, where the folder of real inputs is not beside the repository.
#define KVCOMM_NEEDS_SHARED()                                                              \
  if (kvcomm::testing::shared_dir().empty()) {                                             \
    GTEST_SKIP() << "needs the folder 'shared' beside the repository (or $KVCOMM_SHARED)"; \
  }
