// Errors: one exception type, with the place it was thrown from and the exit code that it stands
// for.
#pragma once

#include <fmt/format.h>

#include <source_location>
#include <stdexcept>
#include <string>

namespace kvcomm {

// Exit codes of the program (docs/cluster.md, "Exit codes").
enum class Exit : int {
  kOk = 0,
  kInternal = 1,
  kUsage = 2,        // command line, configuration, data files
  kSomeFailed = 3,   // finished, some samples failed
  kEnvironment = 4,  // GPU, NCCL, missing or broken weights
  kIntegrity = 5,    // the two ends of a channel disagree
  kTolerance = 6,    // a comparison lies outside its tolerance
  kStopped = 75,     // stopped early, resumable
};

// what() is a sentence for the user: what is wrong, where, the values, the cure.
class Error : public std::runtime_error {
 public:
  Error(Exit exit, const std::string& message,
        std::source_location where = std::source_location::current())
      : std::runtime_error(message), exit_(exit), where_(where) {}

  Exit exit() const { return exit_; }
  const std::source_location& where() const { return where_; }

 private:
  Exit exit_;
  std::source_location where_;
};

// A format string that remembers where it was written, so that fail() needs no macro.
template <typename... Args>
struct FormatAt {
  template <typename S>
  consteval FormatAt(const S& text, std::source_location at = std::source_location::current())
      : format(text), where(at) {}
  fmt::format_string<Args...> format;
  std::source_location where;
};

// Throws Error(exit, formatted sentence).
template <typename... Args>
[[noreturn]] void fail(Exit exit, FormatAt<std::type_identity_t<Args>...> text, Args&&... args) {
  throw Error(exit, fmt::format(text.format, std::forward<Args>(args)...), text.where);
}

}  // namespace kvcomm
