// NLD, natural-language debate: the agents tell each other what they think, in words.
//
//   sender                                receiver
//   says(C) ── token ids ──▶              says(Q)
//                                         answer(Q, its own words, the sender's)
//
// Three generations in all: both first answers at once, then the receiver's refined one (method.md,
// "Methods compared"; the paper's appendix N). What is sent is what was generated, an ending eos
// included.
#include <ATen/ATen.h>

#include "method/debate.h"
#include "method/method.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

class Nld : public Method {
 public:
  explicit Nld(DebateOptions options) : options_(options) {}

  std::vector<ScriptMessage> script() const override { return {{Kind::kTokens, {kNoLayer}}}; }

  void send(Batch& batch, Channel& wire) const override {
    const auto questions = sender_questions(batch, options_.sender_aware);
    std::vector<at::Tensor> said;
    for (const Answer& answer : first_answers(batch, questions)) {
      said.push_back(at::tensor(answer.ids, at::kInt));
    }
    send_first_answers(batch, wire, Kind::kTokens, questions, said);
  }

  std::vector<Request> receive(Batch& batch, std::span<Channel* const> wires) const override {
    std::vector<Request> requests = receiver_questions(batch);
    const std::vector<Answer> own = first_answers(batch, requests);  // while the sender generates
    const std::vector<int64_t> eos = decoding(batch).eos;
    const auto theirs = receive_rows(batch, Kind::kTokens, wires);
    for (size_t i = 0; i < batch.size(); ++i) {
      std::vector<std::string> others;
      for (const auto& by_sample : theirs) others.push_back(words(batch, by_sample[i]));
      requests[i].prompt =
          batch.prompter().refine(batch.sample(i), batch.prompter().said(own[i].ids, eos), others);
    }
    return requests;
  }

 private:
  Decoding decoding(const Batch& batch) const {
    return batch.decoding(GeneratedBy::kModel, options_.phase1_tokens);
  }

  std::vector<Answer> first_answers(Batch& batch, std::vector<Request> questions) const {
    for (Request& question : questions) question.decoding = decoding(batch);
    return batch.answer(questions);
  }

  // The sender's.
  static std::string words(const Batch& batch, const at::Tensor& int32_ids) {
    const at::Tensor ids = int32_ids.to(at::kCPU, at::kLong);
    return batch.prompter().said({ids.const_data_ptr<int64_t>(), static_cast<size_t>(ids.numel())},
                                 batch.sender_eos());
  }

  DebateOptions options_;
};

}  // namespace

std::unique_ptr<Method> make_nld(DebateOptions options) { return std::make_unique<Nld>(options); }

}  // namespace kvcomm
