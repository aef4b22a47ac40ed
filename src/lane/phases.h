// An exchange's seconds by phase: what is neither the model's work nor waiting for the peer's is
// the wire's.
#pragma once

#include <algorithm>

#include "method/batch.h"
#include "store/rows.h"

namespace kvcomm {

class PhaseWatch {
 public:
  // waited_s: how long this end has waited for its peer so far.
  PhaseWatch(const Batch& batch, Seconds waited_s)
      : batch_(batch), before_(batch.ran()), waited_before_s_(waited_s) {}

  // By this end's model since then.
  Ran ran() const {
    return {.prefill_s = batch_.ran().prefill_s - before_.prefill_s,
            .decode_s = batch_.ran().decode_s - before_.decode_s};
  }

  void count_wire(RankRecord& busy, Seconds waited_s) const {
    const Seconds wait_s = waited_s - waited_before_s_;
    const Ran model = ran();
    busy.wait_s += wait_s;
    busy.wire_s += std::max(0.0, watch_.elapsed_s() - model.prefill_s - model.decode_s - wait_s);
  }

 private:
  const Batch& batch_;
  Ran before_;
  Seconds waited_before_s_;
  Stopwatch watch_;
};

}  // namespace kvcomm
