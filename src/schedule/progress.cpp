#include "schedule/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace kvcomm {

namespace {

constexpr Seconds kRedrawEvery_s = 0.2;
constexpr Seconds kFirstLine_s = 5, kLineEvery_s = 30;

}  // namespace

Progress::Progress(uint64_t rows)
    : columns_(terminal_columns()), rows_(rows), next_s_(columns_ > 0 ? 0 : kFirstLine_s) {}

void Progress::add(uint64_t rows, uint64_t failed, uint64_t payload_bytes) {
  done_ += rows;
  failed_ += failed;
  payload_bytes_ += payload_bytes;
}

void Progress::show() {
  if (watch_.elapsed_s() < next_s_) return;
  next_s_ = watch_.elapsed_s() + (columns_ > 0 ? kRedrawEvery_s : kLineEvery_s);
  print("\r");
}

void Progress::finish() { print("\n"); }

std::string Progress::line(Seconds elapsed_s) const {
  std::string text = fmt::format("{}/{} answers", done_, rows_);
  const double rate = static_cast<double>(done_) / std::max(elapsed_s, 1e-9);
  if (done_ > 0) text += fmt::format(", {:.1f} a second", rate);
  text += fmt::format(", {} failed, {:.1f} MB sent, {:.0f} s gone", failed_,
                      static_cast<double>(payload_bytes_) / 1e6, elapsed_s);
  if (done_ > 0 && done_ < rows_) {
    text += fmt::format(", about {:.0f} s left", static_cast<double>(rows_ - done_) / rate);
  }
  return text;
}

// On a terminal the line is cut to one row, and the cursor returns to its start, so that whatever
// is logged next takes its place.
void Progress::print(const char* end) const {
  if (!spdlog::should_log(spdlog::level::info)) return;
  const std::string text = line(watch_.elapsed_s());
  if (columns_ == 0) {
    spdlog::info("{}", text);
    return;
  }
  const std::string_view row = std::string_view(text).substr(0, static_cast<size_t>(columns_) - 1);
  std::fputs(fmt::format("\r\x1b[K{}{}", row, end).c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace kvcomm
