// What the fuzzers share. Any bytes at all are answered with what they hold or with a sentence, an
// Error that is the user's to cure; whatever else ends the program, and that is what a fuzzer looks
// for.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <string>

#include "base/error.h"
#include "tests/support/paths.h"

namespace kvcomm {

// The readers under test; each fuzzer defines it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

}  // namespace kvcomm

namespace kvcomm::testing {

template <typename Call>
void answered(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    if (error.exit() != Exit::kUsage && error.exit() != Exit::kEnvironment) throw;
  }
}

// A folder of one file, the input, under each of the names that readers look for. It lies in
// memory: some file systems sync a file that is written anew.
class InputFolder {
 public:
  explicit InputFolder(std::initializer_list<const char*> names) {
    for (const char* name : names) {
      std::filesystem::create_directories((path() / name).parent_path());
      std::filesystem::create_symlink(input_, path() / name);
    }
  }
  ~InputFolder() { ::close(memory_); }
  InputFolder(const InputFolder&) = delete;
  InputFolder& operator=(const InputFolder&) = delete;

  void put(const uint8_t* bytes, size_t size) const {
    std::ofstream(input_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  }

  const std::filesystem::path& path() const { return folder_.path(); }
  std::filesystem::path operator/(const char* name) const { return path() / name; }

 private:
  TemporaryFolder folder_;
  int memory_ = ::memfd_create("input", 0);
  std::string input_ = fmt::format("/proc/self/fd/{}", memory_);
};

}  // namespace kvcomm::testing
