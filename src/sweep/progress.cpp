#include "sweep/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/log.h"

namespace kvcomm {

Progress::Progress(uint64_t rows) : terminal_(isatty(STDERR_FILENO) == 1), rows_(rows) {
  const char* term = std::getenv("TERM");
  if (term == nullptr || std::string(term) == "dumb") terminal_ = false;
}

void Progress::add(uint64_t rows, uint64_t failed, uint64_t payload_bytes) {
  done_ += rows;
  failed_ += failed;
  payload_bytes_ += payload_bytes;
}

void Progress::show() {
  const Seconds every_s = terminal_ ? 0.2 : 30;
  if (now_s() - shown_at_s_ < every_s) return;
  shown_at_s_ = now_s();
  print("");
}

void Progress::finish() { print(terminal_ ? "\n" : ""); }

void Progress::print(const char* end) const {
  if (!spdlog::should_log(spdlog::level::info)) return;
  const Seconds elapsed_s = watch_.elapsed_s();
  const double rate = static_cast<double>(done_) / std::max(elapsed_s, 1e-9);
  const double left_s = rate > 0 ? static_cast<double>(rows_ - std::min(done_, rows_)) / rate : 0;
  const std::string line = fmt::format(
      "{}/{} answers, {:.1f} a second, {} failed, {:.1f} MB sent, {:.0f} s gone, about {:.0f} s "
      "left",
      done_, rows_, rate, failed_, static_cast<double>(payload_bytes_) / 1e6, elapsed_s, left_s);
  if (terminal_) {
    std::fputs(fmt::format("\r\x1b[K{}{}", line, end).c_str(), stderr);
    std::fflush(stderr);
  } else {
    spdlog::info(line);
  }
}

}  // namespace kvcomm
