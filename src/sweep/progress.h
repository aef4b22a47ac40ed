// How far a sweep is: one redrawn line on a terminal, a plain line every 30 s elsewhere, on stderr.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace kvcomm {

class Progress {
 public:
  // rows: how many this run has to make.
  explicit Progress(uint64_t rows);

  void add(uint64_t rows, uint64_t failed, uint64_t payload_bytes);
  void show();    // when it is time to
  void finish();  // the last line

 private:
  void print(const char* end) const;

  bool terminal_;
  uint64_t rows_, done_ = 0, failed_ = 0, payload_bytes_ = 0;
  Stopwatch watch_;
  Seconds shown_at_s_ = now_s();
};

}  // namespace kvcomm
