// A transport with a bound on its speed, for what a slower network would do: payload leaves no
// faster than so many bytes a second, by the sender's clock.
#pragma once

#include <memory>

#include "comm/decorated.h"

namespace kvcomm {

class Throttled : public DecoratedTransport {
 public:
  Throttled(std::unique_ptr<Transport> transport, double bytes_per_s)
      : DecoratedTransport(std::move(transport)), bytes_per_s_(bytes_per_s) {}

  std::unique_ptr<Sending> start_sending() override;
  bool needs_host() const override { return true; }  // to hand on what was held

 private:
  class ThrottledSending;

  double bytes_per_s_;
  Seconds free_at_s_ = 0;  // when what was handed over so far has left
};

}  // namespace kvcomm
