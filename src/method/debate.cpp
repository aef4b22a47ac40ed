#include "method/debate.h"

#include <ATen/ATen.h>

#include "method/wire.h"

namespace kvcomm {

DebateOptions debate_options(const MethodSpec& spec) {
  return {.phase1_tokens = spec.resolved.at("phase1_tokens"),
          .sender = spec.resolved.at("sender_aware") == true ? Reading::kSummarise : Reading::kSay,
          .temperature = spec.resolved.value("temperature", 1.0)};
}

std::vector<Parameter> debate_parameters() {
  using enum ParameterType;
  return {{"phase1_tokens", kInteger, nullptr, "the most tokens of a first answer", {}, kCount},
          {"sender_aware", kFlag, nullptr, "the sender is told to sum up for the other"}};
}

Profile debate_profile(const MethodSpec& spec, const Fidelity& /*fidelity*/) {
  return {.sender = debate_options(spec).sender, .refines = true};
}

std::vector<Request> sender_questions(const Batch& batch, Reading reading) {
  std::vector<Request> requests;
  for (const Sample* sample : batch.samples()) {
    requests.push_back(
        {.prompt = {batch.prompt_builder().sender(*sample, batch.sender(), reading)}});
  }
  return requests;
}

std::vector<Request> receiver_questions(const Batch& batch) {
  std::vector<Request> requests;
  for (const Sample* sample : batch.samples()) {
    requests.push_back({.prompt = {batch.prompt_builder().receiver(*sample)}});
  }
  return requests;
}

void send_first_answers(const Batch& batch, SendEnd& wire, PayloadKind kind,
                        std::span<const Request> questions, std::span<const at::Tensor> said) {
  RowsMessage message{.kind = kind};
  SenderTimes times{.work_ended_at_s = now_s()};
  for (size_t i = 0; i < said.size(); ++i) {
    message.rows.push_back(said[i].size(0));
    message.context_tokens.push_back(static_cast<int64_t>(questions[i].prompt.size()));
    times.prefill_s += batch.generated()[i].prefill_s;
    times.decode_s += batch.generated()[i].decode_s;
    times.joules += batch.generated()[i].joules;
  }
  OutgoingMessage outgoing = wire.offer(rows_header(batch, message));
  outgoing.put(at::cat(at::TensorList(said.data(), said.size()))
                   .to(batch.agent().model->options().device()));
  outgoing.close(times);
}

}  // namespace kvcomm
