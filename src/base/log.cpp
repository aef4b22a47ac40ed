#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace kvcomm {

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
