#include "model/fingerprint.h"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/model_file.h"
#include "model/safetensors.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLongBytes = 1'000'000'000;  // reading more than that is told before
constexpr int64_t kSecond_ns = 1'000'000'000;

// ---- a file as it stands

struct FileState {
  fs::path path;  // without links
  uint64_t size = 0, inode = 0;
  int64_t modified_ns = 0, changed_ns = 0;  // since 1970, by the file system's clock

  bool operator==(const FileState&) const = default;
};

int64_t nanoseconds(const timespec& time) { return time.tv_sec * kSecond_ns + time.tv_nsec; }

FileState state_of(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) {
    fail(Exit::kEnvironment, "Cannot open the weights '{}': {}.", file.string(),
         std::strerror(errno));
  }
  std::error_code error;
  return {.path = fs::canonical(file, error),
          .size = static_cast<uint64_t>(status.st_size),
          .inode = status.st_ino,
          .modified_ns = nanoseconds(status.st_mtim),
          .changed_ns = nanoseconds(status.st_ctim)};
}

// Waits until a later change would get another time than the last one, which the file system's
// clock rounds to its own ticks. False where that clock is ahead of this machine's.
bool settle(const FileState& state) {
  using std::chrono::nanoseconds;
  const bool whole_seconds = state.changed_ns % kSecond_ns == 0;
  const int64_t tick_ns = whole_seconds ? 2 * kSecond_ns : kSecond_ns / 50;
  const nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t age_ns = now.count() - state.changed_ns;
  if (age_ns < 0) return false;
  if (age_ns < tick_ns) std::this_thread::sleep_for(nanoseconds(tick_ns - age_ns));
  return true;
}

// ---- hashes that are kept: a small file each, so that several processes need not agree

// "": there is none.
fs::path cache_folder() {
  const auto absolute = [](const char* variable) {
    const char* value = std::getenv(variable);
    return value != nullptr && value[0] == '/' ? fs::path(value) : fs::path();
  };
  if (const fs::path cache = absolute("XDG_CACHE_HOME"); !cache.empty()) return cache / "kvcomm";
  const fs::path home = absolute("HOME");
  return home.empty() ? home : home / ".cache/kvcomm";
}

fs::path record_of(const FileState& state) {
  const fs::path folder = cache_folder();
  return folder.empty() || state.path.empty()
             ? fs::path()
             : folder / "weights" / hash128_hex(state.path.string());
}

// What a kept hash stands behind: all that would be another if the file were.
std::string description(const FileState& state) {
  return fmt::format("kvcomm weights 1\n{}\n{} {} {} {}\n", state.path.string(), state.size,
                     state.inode, state.modified_ns, state.changed_ns);
}

std::optional<std::string> kept_hash(const FileState& state) {
  const fs::path record = record_of(state);
  if (record.empty() || !is_there(record)) return std::nullopt;
  try {
    const std::string text = read_file(record), before = description(state);
    const size_t digits = 32, end = before.size() + digits;
    const std::string kept = text.substr(0, end);
    if (!kept.starts_with(before) || text != kept + hash64_hex(kept)) return std::nullopt;
    return kept.substr(before.size());
  } catch (const Error&) {
    return std::nullopt;  // as if it were not there: the weights are read again
  }
}

void keep_hash(const FileState& state, const std::string& hash) {
  const fs::path record = record_of(state);
  std::string reason = "neither XDG_CACHE_HOME nor HOME names a folder for it.";
  try {
    if (!record.empty()) {
      std::error_code error;
      fs::create_directories(record.parent_path(), error);
      const std::string text = description(state) + hash;
      write_file_atomic(record, text + hash64_hex(text));
      return;
    }
  } catch (const Error& error) {
    reason = error.what();
  }
  static std::once_flag once;
  std::call_once(once, [&] {
    spdlog::warn("The hash of '{}' cannot be kept, so each run reads these weights again: {}",
                 state.path.string(), reason);
  });
}

// ---- files

std::string hash_of(const fs::path& file, const FileState& state) {
  const bool settled = !record_of(state).empty() && settle(state);
  std::string hash = hash_large_file_hex(file);
  if (state_of(file) != state) {
    fail(Exit::kEnvironment, "The weights '{}' changed while they were read: start again.",
         file.string());
  }
  if (settled || cache_folder().empty()) keep_hash(state, hash);
  return hash;
}

struct HashedFile {
  fs::path path;
  FileState state;
  std::optional<std::string> hash;
};

std::vector<HashedFile> look_up(const fs::path& folder) {
  std::vector<HashedFile> files;
  for (const fs::path& path : safetensors_files(folder)) {
    const FileState state = state_of(path);
    files.push_back({path, state, kept_hash(state)});
  }
  return files;
}

std::string fingerprint_of(const fs::path& folder, const std::vector<HashedFile>& files) {
  std::string all = hash128_hex(read_model_file(folder / "config.json"));
  for (const HashedFile& file : files) {
    all += fmt::format("\n{} {} {}", file.path.filename().string(), file.state.size, *file.hash);
  }
  return hash128_hex(all);
}

}  // namespace

std::string weights_fingerprint(const fs::path& folder) {
  std::vector<HashedFile> files = look_up(folder);
  uint64_t unread = 0;
  for (const HashedFile& file : files) unread += file.hash ? 0 : file.state.size;
  if (unread > kLongBytes) {
    spdlog::info("Hashing {:.1f} GB of weights in '{}', once for all runs to come.",
                 static_cast<double>(unread) / 1e9, folder.string());
  }
  for (HashedFile& file : files) {
    if (!file.hash) file.hash = hash_of(file.path, file.state);
  }
  return fingerprint_of(folder, files);
}

std::optional<std::string> known_fingerprint(const fs::path& folder) {
  const std::vector<HashedFile> files = look_up(folder);
  for (const HashedFile& file : files) {
    if (!file.hash) return std::nullopt;
  }
  return fingerprint_of(folder, files);
}

}  // namespace kvcomm
