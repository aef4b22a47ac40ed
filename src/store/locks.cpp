#include "store/locks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "store/process.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

std::string own_content() {
  const ProcessId me = this_process();
  const char* job = std::getenv("SLURM_JOB_ID");
  const nlohmann::json json = {{"host", me.host},
                               {"place", me.scope},
                               {"pid", me.pid},
                               {"start", me.start},
                               {"job", job == nullptr ? "" : job},
                               {"since", wall_clock_text()}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// The owner as a lock's content names it; all empty while that is not written yet.
struct Owner {
  ProcessId process;
  std::string text;
};

Owner owner_of(const std::string& content) {
  const auto json = nlohmann::json::parse(content, nullptr, /*allow_exceptions=*/false);
  try {
    Owner owner;
    json.at("host").get_to(owner.process.host);
    json.at("place").get_to(owner.process.scope);
    json.at("pid").get_to(owner.process.pid);
    json.at("start").get_to(owner.process.start);
    const std::string job = json.at("job").get<std::string>();
    owner.text = fmt::format("host {}, process {}{}", owner.process.host, owner.process.pid,
                             job.empty() ? "" : ", job " + job);
    return owner;
  } catch (const nlohmann::json::exception&) {
    return {.process = {}, .text = "a run that has not written its name (yet)"};
  }
}

struct Seen {
  std::string content;
  std::string state;
  Seconds changed_s = 0;  // since the epoch
};

// Nothing where the file is gone.
std::optional<Seen> see(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  struct stat info {};
  if (!in || ::stat(path.c_str(), &info) != 0) return std::nullopt;
  std::string content{std::istreambuf_iterator<char>(in), {}};
  std::string state = fmt::format("{} {}.{:09d} {}", info.st_ino, info.st_mtim.tv_sec,
                                  info.st_mtim.tv_nsec, content);
  const Seconds changed_s =
      static_cast<double>(info.st_mtim.tv_sec) + 1e-9 * static_cast<double>(info.st_mtim.tv_nsec);
  return Seen{std::move(content), std::move(state), changed_s};
}

[[noreturn]] void fail_to_lock(const fs::path& path, int reason) {
  fail(Exit::kEnvironment, "Cannot write the lock '{}': {}.", path.string(), std::strerror(reason));
}

// What is put behind a lock's name for a file beside it: no such name is a pair's, whose '%' stand
// before hexadecimal digits.
constexpr const char* kNew = "%new";
constexpr const char* kStale = "%stale";

// A file of this process beside a lock. A number alone may be another's in another container.
fs::path own_name(const fs::path& lock, const char* what) {
  const ProcessId me = this_process();
  return lock.string() + fmt::format("{}-{}-{}-{}", what, me.host, me.pid,
                                     hash64_hex(me.scope + " " + me.start).substr(0, 8));
}

// Synced, so that the hosts of a network file system see who owns it.
void write_content(int fd, const fs::path& path) {
  if (const int reason = write_fully(fd, own_content()); reason != 0) fail_to_lock(path, reason);
  if (::fsync(fd) != 0) fail_to_lock(path, errno);
}

}  // namespace

// ---- a lock held
PairLock::PairLock(std::string pair, fs::path path, int fd)
    : pair_(std::move(pair)), path_(std::move(path)), fd_(fd) {}

PairLock::PairLock(PairLock&& other) noexcept
    : pair_(std::move(other.pair_)),
      path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)) {}

PairLock& PairLock::operator=(PairLock&& other) noexcept {
  if (this != &other) {
    release();
    pair_ = std::move(other.pair_);
    path_ = std::move(other.path_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

PairLock::~PairLock() { release(); }

void PairLock::release() noexcept {
  if (fd_ < 0) return;
  if (is_ours()) ::unlink(path_.c_str());
  ::close(fd_);
  fd_ = -1;
}

// The name still leads to the file that we made.
bool PairLock::is_ours() const {
  struct stat named {
  }, open{};
  return ::stat(path_.c_str(), &named) == 0 && ::fstat(fd_, &open) == 0 &&
         named.st_ino == open.st_ino && named.st_dev == open.st_dev;
}

bool PairLock::touch() {
  if (!is_ours()) return false;
  if (::futimens(fd_, nullptr) != 0) {
    spdlog::warn("Cannot touch the lock '{}': {}. Another run may take the pair over.",
                 path_.string(), std::strerror(errno));
  }
  return true;
}

// ---- claiming
PairLocks::PairLocks(const fs::path& output, std::function<Seconds()> clock)
    : folder_(output / "locks"), clock_(std::move(clock)) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    fail(Exit::kUsage, "Cannot create the folder '{}': {}. Choose another with --output.",
         folder_.string(), error.message());
  }
}

std::optional<PairLock> PairLocks::try_claim(const std::string& pair) {
  const fs::path path = folder_ / file_name_for(pair);
  for (int turn = 0; turn < 3; ++turn) {  // others may release or take it between two steps of ours
    if (const std::optional<Seen> seen = see(path)) {
      if (!is_stale(pair, seen->content, seen->state)) return std::nullopt;
      if (!take_over(pair, seen->content)) return std::nullopt;
    }
    if (std::optional<PairLock> lock = create(pair, path)) {
      looks_.erase(pair);
      return lock;
    }
  }
  return std::nullopt;
}

// A lock gets its name when it is whole: who is killed on the way leaves none without an owner.
std::optional<PairLock> PairLocks::create(const std::string& pair, const fs::path& path) {
  const fs::path whole = own_name(path, kNew);
  const int fd = ::open(whole.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) fail_to_lock(path, errno);
  PairLock lock(pair, whole, fd);  // removes the file where the next line fails
  write_content(fd, path);
  const int reason = ::link(whole.c_str(), path.c_str()) == 0 ? 0 : errno;
  ::unlink(whole.c_str());
  lock.path_ = path;
  // A network file system may make a link and answer, asked twice, that it is there.
  if (lock.is_ours()) return lock;
  if (reason == 0 || reason == EEXIST) return std::nullopt;
  return create_in_place(pair, path);
}

// Where a file system has no links.
std::optional<PairLock> PairLocks::create_in_place(const std::string& pair, const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0 && errno == EEXIST) return std::nullopt;
  if (fd < 0) fail_to_lock(path, errno);
  PairLock lock(pair, path, fd);
  write_content(fd, path);
  return lock;
}

std::string PairLocks::owner(const std::string& pair) const {
  const auto look = looks_.find(pair);
  return look == looks_.end() ? "" : look->second.owner;
}

bool PairLocks::is_stale(const std::string& pair, const std::string& content,
                         const std::string& state) {
  const Owner owner = owner_of(content);
  Look& look = looks_[pair];
  if (look.state != state) look = {.state = state, .since_s = clock_(), .owner = owner.text};
  if (is_gone(owner.process)) {
    spdlog::info("Taking pair '{}' over from {}: that process is gone.", pair, owner.text);
    return true;
  }
  const Seconds unchanged_s = clock_() - look.since_s;
  if (unchanged_s < kStaleAfter_s) return false;
  spdlog::info("Taking pair '{}' over from {}: its lock did not change for {:.0f} s.", pair,
               owner.text, unchanged_s);
  return true;
}

// Moves a stale lock aside. Two may try at once: one rename wins, and who moved a newer lock than
// the one judged puts it back.
bool PairLocks::take_over(const std::string& pair, const std::string& content) {
  const fs::path path = folder_ / file_name_for(pair);
  const fs::path aside = own_name(path, kStale);
  if (::rename(path.c_str(), aside.c_str()) != 0) {
    if (errno == ENOENT) return true;  // moved or released by another: free to be claimed
    fail_to_lock(path, errno);
  }
  const std::optional<Seen> moved = see(aside);
  const bool was_judged = moved && moved->content == content;
  if (!was_judged && ::link(aside.c_str(), path.c_str()) != 0 && errno != EEXIST) {
    spdlog::warn("Cannot put the lock '{}' back: {}.", path.string(), std::strerror(errno));
  }
  ::unlink(aside.c_str());
  return was_judged;
}

// ---- looking
std::vector<LockSeen> see_locks(const fs::path& output) {
  std::vector<LockSeen> locks;
  std::error_code error;
  const Seconds now_s =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  for (fs::directory_iterator entry(output / "locks", error); !error && entry != end(entry);
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.find(kNew) != name.npos || name.find(kStale) != name.npos) continue;
    const std::optional<Seen> seen = see(entry->path());
    if (!seen) continue;  // released meanwhile
    const Owner owner = owner_of(seen->content);
    locks.push_back({.file = name,
                     .process = owner.process,
                     .owner = owner.text,
                     .gone = is_gone(owner.process),
                     .untouched_s = std::max(0.0, now_s - seen->changed_s)});
  }
  std::ranges::sort(locks, {}, &LockSeen::file);
  return locks;
}

}  // namespace kvcomm
