#include "lane/sending_end.h"

#include <spdlog/spdlog.h>

#include "lane/failures.h"
#include "lane/phases.h"
#include "method/wire.h"

namespace kvcomm {

void SendingEnd::send(const Method& method, Batch& batch, Substitute substitute) {
  const PhaseWatch watch(batch, wire_.waited_s());
  const uint64_t messages = wire_.messages();
  batch.meanwhile = [this](Phase phase) {
    faults_.at(phase);
    wire_.progress();  // its seconds are in the watch's
  };
  wire_.set_substitute(faults_.spoiling(std::move(substitute)));
  try {
    method.send(batch, wire_);
  } catch (const std::exception& error) {
    throw_if_fatal(error, wire_.broken(), device_);
    spdlog::warn("The sender's part failed: {}", reason_of(error));
    tell_failure(method, batch, reason_of(error), wire_.messages() - messages);
  }
  const Ran ran = watch.ran();
  busy_.sender_prefill_s += ran.prefill_s;
  busy_.decode_s += ran.decode_s;
  watch.count_wire(busy_, wire_.waited_s());
}

// The last message that was offered is settled, and each that was not is told to have failed.
void SendingEnd::tell_failure(const Method& method, const Batch& batch, const std::string& reason,
                              uint64_t offered) {
  wire_.settle(reason);
  const std::vector<ScriptMessage> script = method.script(batch.sender());
  for (size_t i = offered; i < script.size(); ++i) {
    wire_.offer(failure_header(batch.exchange(), script[i].kind, reason));
  }
}

void SendingEnd::attend() {
  const Stopwatch watch;
  wire_.progress();
  busy_.wire_s += watch.elapsed_s();
}

void SendingEnd::flush() {
  const Stopwatch watch;
  const Seconds waited_before_s = wire_.waited_s();
  wire_.flush();
  const Seconds waited_s = wire_.waited_s() - waited_before_s;
  busy_.wait_s += waited_s;
  busy_.wire_s += std::max(0.0, watch.elapsed_s() - waited_s);
}

}  // namespace kvcomm
