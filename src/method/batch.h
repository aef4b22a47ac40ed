// The samples that one end works on together, and what it knows of them: prompts, what was read of
// the contexts (once, whatever the number of methods), what has arrived, what was generated. It
// dies with the batch.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/faults.h"
#include "comm/receive_end.h"
#include "comm/send_end.h"
#include "method/agent.h"
#include "method/decoding.h"
#include "method/prompt_builder.h"
#include "model/generate.h"

namespace kvcomm {

// Which exchange is under way: what headers carry and both ends compare.
struct ExchangeId {
  uint64_t task = 0;
  uint32_t cell = 0, attempt = 1;
};

// What came over the wires for one sample of the exchange, of all senders together.
struct ReceivedSample {
  struct Part {  // of one sender
    int64_t context_tokens = 0;
    int64_t said = 0;  // tokens or vectors that it generated
    Seconds prefill_s = 0;
  };
  std::vector<Part> parts;
  int64_t context_tokens = 0;
  int64_t said = 0;
  int64_t layers = 0;  // whose whole context came
  // Its share of the sender's seconds: of reading by context tokens, of the rest by rows.
  Seconds sender_prefill_s = 0, sender_decode_s = 0, wire_exposed_s = 0, wire_hidden_s = 0;
  Seconds senders_s = 0;  // all of these of the sender that took longest
  double sender_joules = 0;
  std::string failure;   // not "": it must not be scored
  bool altered = false;  // it failed for that: what came is not what was sent
};

// What a model was given to do for a sample, and took.
struct Work {
  int64_t input_tokens = 0, output_tokens = 0;
  Seconds prefill_s = 0, decode_s = 0;
  double joules = 0;  // NaN: not told
};

// Seconds of all that a model ran.
struct Ran {
  Seconds prefill_s = 0, decode_s = 0;
};

// What the agents of a pair have in common on a data set. The references outlive it.
struct Terms {
  const PromptBuilder& prompt_builder;
  const Fidelity& fidelity;
  int64_t max_new_tokens;                             // of the scored answer
  std::vector<std::vector<int64_t>> sender_eos = {};  // what ends the words of each sender
  // What prompts begin with, to be read once (PromptBuilder::heads); empty: each is read whole.
  std::vector<std::vector<int64_t>> heads = {};
};

class Batch {
 public:
  // sender: which of the samples' contexts this end reads. All that is referred to must outlive the
  // batch.
  Batch(const Agent& agent, const Terms& terms, std::span<const Sample* const> samples,
        size_t sender = 0);

  // Starts the next exchange: forgets what arrived and what was generated.
  void begin(const ExchangeId& exchange);

  const Agent& agent() const { return agent_; }
  const PromptBuilder& prompt_builder() const { return terms_.prompt_builder; }
  const Fidelity& fidelity() const { return terms_.fidelity; }
  const ExchangeId& exchange() const { return exchange_; }
  std::span<const Sample* const> samples() const { return samples_; }
  const Sample& sample(size_t i) const { return *samples_[i]; }
  size_t size() const { return samples_.size(); }
  size_t sender() const { return sender_; }

  // Token ids of each sample's whole templated context: what a sender reads.
  const std::vector<std::vector<int64_t>>& context_ids();
  std::vector<int64_t> context_tokens();  // how many of each

  // Reads the contexts at the first call, observed layer by layer as they are computed; later calls
  // replay the layers. Returns the context; its times are context_times().
  const Context& context(const Observer& observer);
  const SenderTimes& context_times() const { return context_times_; }

  // The contexts' activations at the input of a layer, computed at the first call for that layer.
  struct Hidden {
    at::Tensor rows;  // [samples, hidden] of the last tokens, or packed [tokens, hidden] of all
    SenderTimes times;
  };
  const Hidden& hidden(int64_t layer);
  const Hidden& hidden_of_all(int64_t layer);  // until it is called for another layer

  // What this end's model makes of activations [tokens, hidden], one tensor a sample, that enter at
  // the input of a layer: keys and values from that layer on.
  std::shared_ptr<const Context> read_from(std::span<const at::Tensor> rows, int64_t layer);

  // What this end's model says to requests, one a sample; of those noted as failed in `arrivals`
  // nothing is asked, and the answer is empty.
  std::vector<Answer> answer(std::span<const Request> requests);
  std::vector<VectorAnswer> answer(std::span<const Request> requests,
                                   const VectorDecoding& decoding);
  // Ends and penalty of an answer to that many tokens.
  Decoding decoding(GeneratedBy by, int64_t max_new_tokens) const;
  int64_t max_new_tokens() const { return terms_.max_new_tokens; }
  const std::vector<int64_t>& sender_eos(size_t sender) const {
    return terms_.sender_eos.at(sender);
  }

  std::vector<ReceivedSample> arrivals;  // one a sample; empty where nothing was received
  // What this end must attend to in work that takes long; called between layers (kPrefill) and
  // between steps (kDecode).
  std::function<void(Phase)> meanwhile = [](Phase) {};

  // Of each sample in this exchange.
  const std::vector<Work>& generated() const { return generated_; }
  const Ran& ran() const { return ran_; }  // by this end's model, in all exchanges

 private:
  int64_t head_of(std::span<const int64_t> prompt) const;
  double joules() const;
  Heads heads_of(std::span<const std::vector<int64_t>> prompts) const;
  Observer attentive(const Observer& observer, Seconds& attended_s) const;
  Generation generation() const;
  // Lets this end's model read, by an observer that also attends to the rest; counts what it ran.
  template <typename Read>
  SenderTimes timed(const Observer& observer, Read&& read);
  template <typename Make>
  const Hidden& hidden_by(std::map<int64_t, Hidden>& known, int64_t layer, Make&& make);
  template <typename Generate>
  auto answer_by(std::span<const Request> requests, Generate&& generate);

  const Agent& agent_;
  const Terms& terms_;
  std::vector<const Sample*> samples_;
  size_t sender_;
  ExchangeId exchange_;
  std::vector<std::vector<int64_t>> context_ids_;
  std::shared_ptr<const Context> context_;
  SenderTimes context_times_;
  std::map<int64_t, Hidden> hidden_;         // by layer
  std::map<int64_t, Hidden> hidden_of_all_;  // of the layer that was wanted last alone
  std::vector<Work> generated_;
  Ran ran_;
};

}  // namespace kvcomm
