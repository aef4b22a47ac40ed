// Whether HDF5 can lock a file, as its other readers do.
#include "store/h5_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include "base/descriptor.h"
#include "base/files.h"
#include "store/h5.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

TEST(H5Lock, AFileThatAnotherHasLockedIsAComplaint) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "probe.h5";
  write_file_atomic(file, h5_image({{"probe", "x"}}, {}));
  EXPECT_EQ(h5_lock_complaint(file), "");
  const Descriptor other(file, O_RDWR);
  ASSERT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_NE(h5_lock_complaint(file).find("lock"), std::string::npos);
}

}  // namespace
}  // namespace kvcomm
