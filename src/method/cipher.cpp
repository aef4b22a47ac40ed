// CIPHER: a debate in vectors instead of words, so that no token has to be chosen.
//
//   sender                                 receiver
//   emits(C) ── vectors, one a step ──▶    emits(Q)
//                                          answer(Q, its own vectors, the sender's)
//
// Each step emits the mean of the embedding table weighted by softmax(logits / temperature) and
// reads it as its next input; the refined answer's prompt has the vectors where NLD has text
// (method.md, "Methods compared"; official_behaviour.md, 7 and 16).
#include <ATen/ATen.h>

#include "base/error.h"
#include "method/debate.h"
#include "method/method.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

class Cipher : public Method {
 public:
  explicit Cipher(DebateOptions options) : options_(options) {}

  std::vector<ScriptMessage> script() const override { return {{Kind::kVectors, {kNoLayer}}}; }

  void send(Batch& batch, Channel& wire) const override {
    const auto questions = sender_questions(batch, options_.sender_aware);
    std::vector<at::Tensor> said;
    for (const VectorAnswer& answer : batch.answer(questions, decoding(batch))) {
      said.push_back(answer.vectors);
    }
    send_first_answers(batch, wire, Kind::kVectors, questions, said);
  }

  std::vector<Request> receive(Batch& batch, std::span<Channel* const> wires) const override {
    std::vector<Request> requests = receiver_questions(batch);
    const auto own = batch.answer(requests, decoding(batch));  // while the sender generates
    const auto theirs = receive_rows(batch, Kind::kVectors, wires);
    for (size_t i = 0; i < batch.size(); ++i) {
      if (!batch.arrivals[i].failure.empty()) continue;
      if (own[i].vectors.size(0) == 0) {
        batch.arrivals[i].failure =
            "The receiver had nothing to say first: its first vector was nearest to the eos.";
        continue;
      }
      std::vector<at::Tensor> others;
      for (const auto& by_sample : theirs) others.push_back(by_sample[i]);
      requests[i].prompt = batch.prompter().refine(batch.sample(i), own[i].vectors, others);
    }
    return requests;
  }

 private:
  VectorDecoding decoding(const Batch& batch) const {
    const auto eos = batch.agent().text->eos();
    if (!eos) fail(Exit::kEnvironment, "The tokenizer names no eos token, which ends CIPHER.");
    return {.max_steps = options_.phase1_tokens, .temperature = options_.temperature, .eos = *eos};
  }

  DebateOptions options_;
};

}  // namespace

std::unique_ptr<Method> make_cipher(DebateOptions options) {
  return std::make_unique<Cipher>(options);
}

}  // namespace kvcomm
