#include "base/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/descriptor.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

void sync_path(const fs::path& path, int flags) {
  const Descriptor file(path, flags);
  if (::fsync(file.get()) != 0 && errno != EINVAL) {  // EINVAL: a file system without folder sync
    fail(Exit::kEnvironment, "Cannot sync '{}' to disk: {}.", path.string(), std::strerror(errno));
  }
}

// Of a closed file, synced before and its folder after.
void rename_durably(const fs::path& from, const fs::path& to) {
  sync_path(from, O_RDONLY);
  std::error_code error;
  fs::rename(from, to, error);
  if (error) {
    fail(Exit::kEnvironment, "Cannot rename '{}' to '{}': {}.", from.string(), to.string(),
         error.message());
  }
  sync_folder(to.has_parent_path() ? to.parent_path() : fs::path("."));
}

}  // namespace

int write_fully(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : ENOSPC;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

void sync_folder(const fs::path& folder) { sync_path(folder, O_RDONLY | O_DIRECTORY); }

std::string read_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    fail(Exit::kUsage, "Cannot read '{}': it is a folder, a file is needed.", path.string());
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(Exit::kUsage, "Cannot read '{}': {}.", path.string(), std::strerror(errno));
  in.exceptions(std::ios::badbit);
  const uintmax_t size = fs::file_size(path, error);
  // A file is read whole, with its end; what has no size (a pipe, /proc) in pieces.
  const size_t at_once = error || size == 0 ? 1 << 16 : size + 1;
  return reading(path, [&] {
    std::string content;
    while (in) {
      const size_t before = content.size();
      content.resize(before + at_once);
      in.read(content.data() + before, static_cast<std::streamsize>(at_once));
      content.resize(before + static_cast<size_t>(in.gcount()));
    }
    return content;
  });
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  const fs::path temporary = path.string() + fmt::format(".tmp{}", ::getpid());
  try {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (const int reason = write_fully(file.get(), content); reason != 0) {
      fail(Exit::kEnvironment, "Cannot write '{}': {}.", temporary.string(), std::strerror(reason));
    }
    rename_durably(temporary, path);
  } catch (const Error&) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void require_writable_place(const fs::path& folder) {
  fs::path there = fs::absolute(folder);
  while (!is_there(there) && there.has_relative_path()) there = there.parent_path();
  std::error_code error;
  const bool is_folder = fs::is_directory(there, error);
  if (is_folder && ::access(there.c_str(), W_OK | X_OK) == 0) return;
  fail(Exit::kUsage,
       "Cannot write to the output folder '{}': '{}' {}. Choose another with --output.",
       folder.string(), there.string(), is_folder ? "may not be written to" : "is no folder");
}

void require_writable_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    fail(Exit::kUsage, "Cannot create the output folder '{}': {}. Choose another with --output.",
         folder.string(), error.message());
  }
  const fs::path probe = folder / fmt::format(".probe{}", ::getpid());
  {
    std::ofstream out(probe);
    out << "probe";
    out.flush();
    if (!out) {
      const int reason = errno;
      fs::remove(probe, error);
      fail(Exit::kUsage,
           "Cannot write to the output folder '{}': {}. Choose another with --output.",
           folder.string(), std::strerror(reason));
    }
  }
  fs::remove(probe, error);
}

}  // namespace kvcomm
