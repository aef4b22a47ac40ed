// When a long wait says a word of itself: after 30 s, 60 s, 120 s and so on.
#pragma once

#include "base/clock.h"

namespace kvcomm {

class Reminder {
 public:
  explicit Reminder(Seconds first_s = kFirst_s) : next_s_(first_s) {}

  // Whether it is time to, after so long; once for each of these times.
  bool is_due(Seconds waited_s) {
    if (waited_s < next_s_) return false;
    while (next_s_ <= waited_s) next_s_ *= 2;
    return true;
  }

  static constexpr Seconds kFirst_s = 30;

 private:
  Seconds next_s_;
};

}  // namespace kvcomm
