#include "comm/peer_wait.h"

#include <spdlog/spdlog.h>

#include "base/error.h"

namespace kvcomm {

void PeerWait::fail_in_vain() const {
  if (!peer_is_silent()) deadline_.fail_expired();
  fail(Exit::kEnvironment,
       "Waited {:.3g} s for {} from {}, which gave no sign of life for {:.3g} s (run.timeout_s = "
       "{:.3g} s): it was stopped, or its host or the way to it is gone.",
       watch_.elapsed_s(), what_, peer_, silent_s_(), limits_.in_silence_s);
}

void PeerWait::remind() {
  const Seconds waited_s = watch_.elapsed_s();
  if (!reminder_.is_due(waited_s)) return;
  const std::string life =
      silent_s_ ? fmt::format(", which gave a sign of life {:.1f} s ago", silent_s_()) : "";
  spdlog::info("Waiting for {} for {:.0f} s now, from {}{}.", what_, waited_s, peer_, life);
}

}  // namespace kvcomm
