// Hashes of bytes, as lower-case hexadecimal. xxh3: fast and stable, not cryptographic.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace kvcomm {

uint64_t hash64(std::string_view bytes);

// A step of splitmix64: what it makes of consecutive numbers is a random sequence.
constexpr uint64_t mixed(uint64_t x) {
  uint64_t z = x + 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// 16 and 32 hexadecimal digits.
std::string hash64_hex(std::string_view bytes);
std::string hash128_hex(std::string_view bytes);

// The hash of a whole file's bytes, read piece by piece. Fails (kUsage) if it cannot be read.
std::string hash_file_hex(const std::filesystem::path& path);

// The same of a large file, at the disk's speed: the hash of the hashes of its pieces of 64 MiB,
// which are read side by side. Another value than hash_file_hex's.
std::string hash_large_file_hex(const std::filesystem::path& path);

}  // namespace kvcomm
