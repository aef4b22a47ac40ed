// The samples that one end works on together, and what it knows of them: prompts, the contexts that
// were read (once, whatever the number of methods), what has arrived. It dies with the batch.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/channel.h"
#include "method/agent.h"
#include "method/prompter.h"
#include "model/generate.h"

namespace kvcomm {

// Which exchange is under way: what headers carry and both ends compare.
struct Turn {
  uint64_t task = 0;
  uint32_t cell = 0, attempt = 1;
};

// What came over the wire for one sample of the turn.
struct Arrival {
  int64_t context_tokens = 0;
  int64_t layers = 0;                                                   // whose whole context came
  Seconds sender_prefill_s = 0, wire_exposed_s = 0, wire_hidden_s = 0;  // its share, by tokens
  std::string failure;  // not "": it must not be scored
};

class Batch {
 public:
  // sender: which of the samples' contexts this end reads. All must outlive the batch.
  Batch(const Agent& agent, const Prompter& prompter, std::span<const Sample* const> samples,
        size_t sender = 0);

  // Starts the next exchange: forgets what arrived.
  void begin(const Turn& turn);

  const Agent& agent() const { return agent_; }
  const Prompter& prompter() const { return prompter_; }
  const Turn& turn() const { return turn_; }
  std::span<const Sample* const> samples() const { return samples_; }
  size_t size() const { return samples_.size(); }

  // Token ids of each sample's whole templated context: what a sender reads.
  const std::vector<std::vector<int64_t>>& context_ids();

  // Reads the contexts at the first call, observed layer by layer as they are computed; later calls
  // replay the layers. Returns the context and how long reading it took.
  const Context& context(const Observer& observer);
  const SenderTimes& context_times() const { return times_; }

  std::vector<Arrival> arrivals;  // one a sample; empty where nothing was received

 private:
  const Agent& agent_;
  const Prompter& prompter_;
  std::vector<const Sample*> samples_;
  size_t sender_;
  Turn turn_;
  std::vector<std::vector<int64_t>> context_ids_;
  std::shared_ptr<const Context> context_;
  SenderTimes times_;
};

}  // namespace kvcomm
