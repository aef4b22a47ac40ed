// Durations: seconds of this host's monotonic clock. Times of two hosts are never subtracted.
#pragma once

#include <chrono>
#include <string>

namespace kvcomm {

using Seconds = double;

inline Seconds now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Measures from its construction.
class Stopwatch {
 public:
  Seconds elapsed_s() const { return now_s() - start_s_; }

 private:
  Seconds start_s_ = now_s();
};

// "2026-11-23 04:45:49 +0000", for people; never used for arithmetic.
std::string wall_clock_text();

}  // namespace kvcomm
