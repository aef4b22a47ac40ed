#include "doctor/folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "base/descriptor.h"
#include "base/files.h"
#include "base/scratch_folder.h"
#include "base/text.h"
#include "store/h5.h"
#include "store/h5_lock.h"

namespace kvcomm::doctor {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLeastBytes = 1'000'000'000, kLeastFiles = 1000;
// A row takes some 1.6 kB of a journal, with its share of the other records, and less of results.h5
// and of the one that replaces it; long answers take more.
constexpr uint64_t kRowBytes = 4000;
constexpr const char* kElsewhere =
    "Choose another folder with --output (run.output), or have this one mended.";

// Where the output folder lies, or would be made.
fs::path place_of(const fs::path& output) {
  fs::path place = fs::absolute(output);
  while (!is_there(place) && place.has_relative_path()) place = place.parent_path();
  if (!fs::is_directory(place)) {
    fail(Exit::kEnvironment, "'{}' is no folder.", place.string());
  }
  return place;
}

// A file in a folder of its own, which goes with it.
struct Probe {
  explicit Probe(const fs::path& output) : scratch(place_of(output), ".kvcomm-doctor") {}

  ScratchFolder scratch;
  fs::path file = scratch.path() / "probe.h5";
};

Seen replace_a_file(const fs::path& output) {
  const Probe probe(output);
  write_file_atomic(probe.file, "old");
  const Stopwatch watch;
  write_file_atomic(probe.file, "new");
  const Seconds took_s = watch.elapsed_s();
  if (read_file(probe.file) != "new") {
    fail(Exit::kEnvironment, "A file in '{}' was replaced, and still reads as before.",
         place_of(output).string());
  }
  const bool there = is_there(output);
  return {.check = {.found = fmt::format("'{}'{}: a file is written, synced and replaced in "
                                         "{:.1f} ms",
                                         output.string(), there ? "" : " (not made yet)",
                                         1e3 * took_s)}};
}

// What cannot be locked in the file, and the reason: by POSIX, by flock(), by HDF5.
std::vector<std::string> lock_complaints(const fs::path& path) {
  std::vector<std::string> complaints;
  {
    const Descriptor file(path, O_RDWR);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (::fcntl(file.get(), F_SETLK, &whole) != 0) {
      complaints.push_back(fmt::format("no POSIX locks ({})", std::strerror(errno)));
    }
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      complaints.push_back(fmt::format("no flock() ({})", std::strerror(errno)));
    }
  }
  if (const std::string reason = h5_lock_complaint(path); !reason.empty()) {
    complaints.push_back("no lock for HDF5: " + reason);
  }
  return complaints;
}

Seen lock_a_file(const fs::path& output) {
  const Probe probe(output);
  const Attributes attributes{{"probe", "kvcomm doctor"}};
  write_file_atomic(probe.file, h5_image(attributes, {}));
  if (read_h5(probe.file).attributes != attributes) {
    fail(Exit::kEnvironment, "An HDF5 file in '{}' does not read as it was written.",
         place_of(output).string());
  }
  const std::vector<std::string> complaints = lock_complaints(probe.file);
  if (complaints.empty()) {
    return {.check = {.found = "an HDF5 file is written, read and locked (POSIX, flock, HDF5)"}};
  }
  return {.check = {.status = Status::kWarning,
                    .found = join(complaints, "; "),
                    .cure = "kvcomm works without locks. For h5py and other readers of results.h5 "
                            "set HDF5_USE_FILE_LOCKING=FALSE."}};
}

Seen room_in(const fs::path& output) {
  const fs::path place = place_of(output);
  struct statvfs status {};
  if (::statvfs(place.c_str(), &status) != 0) {
    fail(Exit::kEnvironment, "'{}' does not tell its free space: {}.", place.string(),
         std::strerror(errno));
  }
  const bool counts_files = status.f_files > 0;
  return {.facts = {{"free_bytes", uint64_t{status.f_bavail} * status.f_frsize},
                    {"free_files", counts_files ? uint64_t{status.f_favail}
                                                : std::numeric_limits<uint64_t>::max()}}};
}

}  // namespace

std::vector<Look> folder_looks(const fs::path& output) {
  return {{"output folder", kElsewhere, [=] { return replace_a_file(output); }},
          {"file locks", kElsewhere, [=] { return lock_a_file(output); }},
          {"free space", kElsewhere, [=] { return room_in(output); }}};
}

Check judge_space(const RankFacts& rank_zero) {
  const uint64_t needed = kRowBytes * rank_zero.rows;
  const std::string found = fmt::format(
      "{:.1f} GB{}", static_cast<double>(rank_zero.free_bytes) / 1e9,
      rank_zero.rows == 0 ? ""
                          : fmt::format("; the sweep's {} rows take some {:.3f} GB", rank_zero.rows,
                                        static_cast<double>(needed) / 1e9));
  if (rank_zero.free_bytes < kLeastBytes + needed) {
    return {.name = "free space",
            .status = Status::kFailed,
            .found = found,
            .cure = fmt::format("Free {:.1f} GB where results go, or choose another folder with "
                                "--output (run.output).",
                                static_cast<double>(kLeastBytes + needed) / 1e9)};
  }
  if (rank_zero.free_files < kLeastFiles) {
    return {.name = "free space",
            .status = Status::kFailed,
            .found =
                fmt::format("{}, and room for {} more files (inodes)", found, rank_zero.free_files),
            .cure = "Remove files there, or choose another folder with --output (run.output)."};
  }
  return {.name = "free space", .found = found};
}

}  // namespace kvcomm::doctor
