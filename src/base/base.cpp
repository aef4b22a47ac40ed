#include <fcntl.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <numeric>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/nesting.h"
#include "base/parallel.h"
#include "base/text.h"

namespace kvcomm {

namespace fs = std::filesystem;

// ---- hash
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

// ---- files
namespace {

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (fd_ < 0) fail(Exit::kUsage, "Cannot open '{}': {}.", path.string(), std::strerror(errno));
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

void sync_path(const fs::path& path, int flags) {
  const Descriptor file(path, flags);
  if (::fsync(file.get()) != 0 && errno != EINVAL) {  // EINVAL: a file system without folder sync
    fail(Exit::kEnvironment, "Cannot sync '{}' to disk: {}.", path.string(), std::strerror(errno));
  }
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

void write_all(const fs::path& path, std::string_view content) {
  const Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
  while (!content.empty()) {
    const ssize_t written = ::write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      fail(Exit::kEnvironment, "Cannot write '{}': {}.", path.string(), std::strerror(errno));
    }
    content.remove_prefix(static_cast<size_t>(written));
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
  sync_path(folder_of(to), O_RDONLY | O_DIRECTORY);
}

}  // namespace

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

std::string read_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    fail(Exit::kUsage, "Cannot read '{}': it is a folder, a file is needed.", path.string());
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(Exit::kUsage, "Cannot read '{}': {}.", path.string(), std::strerror(errno));
  return reading(path, [&] { return std::string{std::istreambuf_iterator<char>(in), {}}; });
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  const fs::path temporary = path.string() + fmt::format(".tmp{}", ::getpid());
  try {
    write_all(temporary, content);
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

// ---- clock
std::string wall_clock_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z", &local);
  return text;
}

// ---- text
namespace {

// Letters put in, left out, changed, or swapped with their neighbour ("rnu").
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  std::iota(rows[0].begin(), rows[0].end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    rows[i][0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows.back().back();
}

}  // namespace

std::string near_miss(std::string_view word, std::span<const std::string> candidates) {
  std::string best;
  size_t best_distance = 2 + word.size() / 4;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> candidates) {
  const std::string near = near_miss(word, candidates);
  return near.empty() ? "" : fmt::format(" Did you mean '{}'?", near);
}

std::string shortest(double value) { return fmt::format("{}", value); }

std::string join(std::span<const std::string> parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string_view strip(std::string_view text) {
  constexpr std::string_view kSpaces[] = {
      "\t",           "\n",           "\v",           "\f",           "\r",
      "\x1C",         "\x1D",         "\x1E",         "\x1F",         " ",
      "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
      "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
      "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
      "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
  const auto at_front = [&] {
    return std::ranges::find_if(kSpaces, [&](auto space) { return text.starts_with(space); });
  };
  const auto at_back = [&] {
    return std::ranges::find_if(kSpaces, [&](auto space) { return text.ends_with(space); });
  };
  for (auto space = at_front(); space != std::end(kSpaces); space = at_front()) {
    text.remove_prefix(space->size());
  }
  for (auto space = at_back(); space != std::end(kSpaces); space = at_back()) {
    text.remove_suffix(space->size());
  }
  return text;
}

// ---- nesting
size_t first_too_deep(std::string_view json) {
  size_t depth = 0;
  bool quoted = false;
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (quoted && c == '\\') {
      ++at;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      if (++depth > kDeepestJson) return at;
    } else if (!quoted && (c == ']' || c == '}')) {
      depth -= depth > 0;
    }
  }
  return json.size();
}

namespace {

// The place of the quotation mark that closes the TOML string which begins at `at`.
size_t string_end(std::string_view toml, size_t at) {
  const std::string thrice(3, toml[at]);
  const bool long_form = toml.substr(at, 3) == thrice;
  const std::string_view mark = std::string_view(thrice).substr(0, long_form ? 3 : 1);
  for (size_t i = at + mark.size(); i < toml.size(); ++i) {
    if (toml[at] == '"' && toml[i] == '\\') {
      ++i;
    } else if (toml.substr(i).starts_with(mark)) {
      return i + mark.size() - 1;
    }
  }
  return toml.size();
}

}  // namespace

size_t first_long_key(std::string_view toml) {
  size_t dots = 0;
  for (size_t at = 0; at < toml.size(); ++at) {
    const char c = toml[at];
    if (c == '"' || c == '\'') {
      at = string_end(toml, at);
    } else if (c == '#') {
      at = std::min(toml.find('\n', at), toml.size());
    } else if (c != '.') {
      if (std::string_view("=,[{\n").find(c) != std::string_view::npos) dots = 0;
    } else if (++dots > kMostDots) {
      return at;
    }
  }
  return toml.size();
}

void require_short_keys(std::string_view toml, std::string_view file) {
  const size_t at = first_long_key(toml);
  if (at == toml.size()) return;
  fail(Exit::kUsage, "{}:{}: a key has more than {} dots, which no key here has.", file,
       1 + std::ranges::count(toml.substr(0, at), '\n'), kMostDots);
}

// ---- log
int terminal_columns() {
  constexpr int kUsual = 80, kFewest = 20;
  const char* term = std::getenv("TERM");
  if (term == nullptr || std::string_view(term) == "dumb") return 0;
  const char* told = std::getenv("KVCOMM_TERMINAL");
  const bool handed_on = told != nullptr && *told != '\0';
  if (!handed_on && ::isatty(STDERR_FILENO) != 1) return 0;
  winsize size{};
  int columns = 0;
  if (handed_on) {
    columns = std::atoi(told);
  } else if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0) {
    columns = size.ws_col;
  }
  return columns < kFewest ? kUsual : columns;
}

void start_log(int rank, spdlog::level::level_enum level) {
  // Whole lines: a launcher hands on pieces that are written one by one, and others' between them.
  std::setvbuf(stderr, nullptr, _IOLBF, BUFSIZ);
  const char* no_color = std::getenv("NO_COLOR");
  const bool terminal = terminal_columns() > 0;
  const bool colours = terminal && (no_color == nullptr || *no_color == '\0');
  auto logger = std::make_shared<spdlog::logger>(
      "kvcomm", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
                    colours ? spdlog::color_mode::always : spdlog::color_mode::never));
  const std::string who = rank < 0 ? "" : fmt::format("r{:03d} ", rank);
  const std::string clear = terminal ? "\x1b[K" : "";  // a redrawn line may stand there
  logger->set_pattern(clear + "%Y-%m-%dT%H:%M:%S.%e " + who + "%^%l%$ %v");
  logger->set_level(level);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace kvcomm
