// Whole files: read, and written so that a reader sees the old content or the new, never a part.
#pragma once

#include <filesystem>
#include <ios>
#include <string>
#include <string_view>

#include "base/error.h"

namespace kvcomm {

// Whether something is there that this process can see; never fails.
bool is_there(const std::filesystem::path& path);

// What `read` gives, which takes bytes from the file by its stream's buffer: that throws where the
// disk fails. Fails (kUsage) then.
template <typename Read>
auto reading(const std::filesystem::path& path, const Read& read) {
  try {
    return read();
  } catch (const std::ios_base::failure& failure) {
    fail(Exit::kUsage, "Reading '{}' broke off: {}.", path.string(), failure.code().message());
  }
}

// Fails (kUsage) naming the path and the system's reason.
std::string read_file(const std::filesystem::path& path);

// Hands all bytes to an open file: 0, or the system's reason (ENOSPC where it takes no more).
int write_fully(int fd, std::string_view bytes);

// Fails (kEnvironment) where the disk does; a file system that cannot sync folders passes.
void sync_folder(const std::filesystem::path& folder);

// Writes to a temporary name beside path, syncs it, renames it into place, syncs the folder. Fails
// (kEnvironment) and leaves nothing of it where one of these fails.
void write_file_atomic(const std::filesystem::path& path, std::string_view content);

// Fails (kUsage) where the folder is there and cannot be written to, or could not be made. Changes
// nothing.
void require_writable_place(const std::filesystem::path& folder);

// Creates the folder and proves that it can be written to; fails (kUsage) with the reason.
void require_writable_folder(const std::filesystem::path& folder);

}  // namespace kvcomm
