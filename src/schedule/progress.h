// How far a sweep is, on stderr: one redrawn line on a terminal; elsewhere a plain line after 5 s
// and then every 30 s.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"

namespace kvcomm {

class Progress {
 public:
  // rows: how many this run has to make.
  explicit Progress(uint64_t rows);

  void add(uint64_t rows, uint64_t failed, uint64_t payload_bytes);
  void show();    // when it is time to
  void finish();  // the last line

  // "3/240 answers, 1.5 a second, ...", that long after the start. What the rate would tell is left
  // out while there is none.
  std::string line(Seconds elapsed_s) const;

 private:
  void print(const char* end) const;

  int columns_;  // of the terminal; 0: none
  uint64_t rows_, done_ = 0, failed_ = 0, payload_bytes_ = 0;
  Stopwatch watch_;
  Seconds next_s_;  // since the start
};

}  // namespace kvcomm
