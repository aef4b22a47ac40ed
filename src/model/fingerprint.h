// What tells one model's weights from another's: every byte of config.json and of the weights'
// files. A file's hash is kept in the user's cache folder ($XDG_CACHE_HOME/kvcomm, else
// ~/.cache/kvcomm) by the file's path, size, inode and times of change, so that it is read once; a
// cache that cannot be read or written costs time and nothing else.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace kvcomm {

// Reads the files whose hashes are not kept yet, and logs it where that takes a while. Fails
// (kEnvironment, kUsage) where one is missing or cannot be read.
std::string weights_fingerprint(const std::filesystem::path& folder);

// The same where all hashes are kept; nothing else is read.
std::optional<std::string> known_fingerprint(const std::filesystem::path& folder);

}  // namespace kvcomm
