#include "store/process.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/hash.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

// "" where there is no such file: /proc is the only source and may be hidden.
std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The state ('R', 'S', 'Z' ...) and start time of a process; both empty where /proc does not say.
struct ProcStat {
  std::string state, start;
};

ProcStat proc_stat(long pid) {
  const std::string line = first_line(fmt::format("/proc/{}/stat", pid));
  const size_t name_end = line.rfind(')');  // the name may hold spaces and brackets
  if (name_end == std::string::npos) return {};
  std::istringstream fields(line.substr(name_end + 1));
  constexpr size_t kStart = 19;  // field 22 of the line, counted from the state (field 3)
  std::vector<std::string> values;
  for (std::string value; values.size() <= kStart && fields >> value;) values.push_back(value);
  if (values.size() <= kStart) return {};
  return {values[0], values[kStart]};
}

std::string this_scope() {
  std::error_code error;
  const fs::path names = fs::read_symlink("/proc/self/ns/pid", error);
  return first_line("/proc/sys/kernel/random/boot_id") + " " + names.string();
}

}  // namespace

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "unknown-host";
  return name;
}

uint64_t resident_memory() {
  uint64_t all = 0, resident = 0;  // in pages
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

uint64_t peak_memory() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts KiB
}

ProcessId this_process() {
  const long pid = ::getpid();
  return {host_name(), this_scope(), pid, proc_stat(pid).start};
}

bool is_gone(const ProcessId& process) {
  if (process.pid <= 0 || process.host != host_name() || process.scope != this_scope()) {
    return false;
  }
  if (::kill(static_cast<pid_t>(process.pid), 0) != 0 && errno == ESRCH) return true;
  const ProcStat now = proc_stat(process.pid);
  if (now.state == "Z" || now.state == "X") return true;
  return !now.start.empty() && !process.start.empty() && now.start != process.start;
}

std::string file_name_for(std::string_view text) {
  std::string name;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        byte < 0x80 && (std::isalnum(byte) || c == '_' || c == '-' || (c == '.' && !name.empty()));
    name += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  constexpr size_t kLongest = 180;  // of the 255 that file systems take, with room for suffixes
  if (name.size() > kLongest) name = name.substr(0, kLongest - 17) + "%" + hash64_hex(text);
  return name.empty() ? "%" : name;
}

}  // namespace kvcomm
