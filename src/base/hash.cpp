#include "base/hash.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include "base/descriptor.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/text.h"

namespace kvcomm {

namespace fs = std::filesystem;

uint64_t hash64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string hash64_hex(std::string_view bytes) { return fmt::format("{:016x}", hash64(bytes)); }

namespace {

std::string hex(const XXH128_hash_t& hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// Of bytes that come piece by piece.
class Hash128 {
 public:
  Hash128() : state_(XXH3_createState(), &XXH3_freeState) { XXH3_128bits_reset(state_.get()); }
  void add(std::string_view bytes) {
    XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
  }
  XXH128_hash_t value() const { return XXH3_128bits_digest(state_.get()); }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

constexpr size_t kReadBytes = 1 << 20;  // at once

}  // namespace

std::string hash128_hex(std::string_view bytes) {
  return hex(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string hash_file_hex(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(Exit::kUsage, "Cannot read '{}': {}.", path.string(), std::strerror(errno));
  Hash128 hash;
  std::string piece(kReadBytes, '\0');
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())), in.gcount() > 0) {
    hash.add({piece.data(), static_cast<size_t>(in.gcount())});
  }
  if (in.bad())
    fail(Exit::kUsage, "Reading '{}' broke off: {}.", path.string(), std::strerror(errno));
  return hex(hash.value());
}

namespace {

std::string hash_piece(const fs::path& path, const Descriptor& file, uint64_t begin, uint64_t end) {
  Hash128 hash;
  std::string bytes(kReadBytes, '\0');
  while (begin < end) {
    const size_t wanted = std::min<uint64_t>(bytes.size(), end - begin);
    const ssize_t got = ::pread(file.get(), bytes.data(), wanted, static_cast<off_t>(begin));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      fail(Exit::kUsage, "Reading '{}' broke off at byte {}: {}.", path.string(), begin,
           got < 0 ? std::strerror(errno) : "it became shorter meanwhile");
    }
    hash.add({bytes.data(), static_cast<size_t>(got)});
    begin += static_cast<uint64_t>(got);
  }
  return hex(hash.value());
}

}  // namespace

std::string hash_large_file_hex(const fs::path& path) {
  constexpr uint64_t kPieceBytes = uint64_t{64} << 20;
  constexpr size_t kReaders = 8;  // more than cores: most of the time they wait for the disk
  const Descriptor file(path, O_RDONLY);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    fail(Exit::kUsage, "Cannot read '{}': {}.", path.string(), std::strerror(errno));
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  std::vector<std::string> hashes((size + kPieceBytes - 1) / kPieceBytes);
  in_parallel(0, hashes.size(), kReaders, [&](size_t i) {
    hashes[i] = hash_piece(path, file, i * kPieceBytes, std::min(size, (i + 1) * kPieceBytes));
  });
  return hash128_hex(join(hashes, ""));
}

}  // namespace kvcomm
