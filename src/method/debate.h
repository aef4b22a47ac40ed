// What NLD and CIPHER have in common: both agents answer first, each what it was asked, then the
// receiver once more.
#pragma once

#include <span>
#include <vector>

#include "method/batch.h"
#include "method/type.h"

namespace kvcomm {

// The first answers.
struct DebateOptions {
  int64_t phase1_tokens = 0;
  Reading sender = Reading::kSay;
  double temperature = 1;  // CIPHER's
};
DebateOptions debate_options(const MethodSpec& spec);

// Their defaults are the fidelity's.
std::vector<Parameter> debate_parameters();
Profile debate_profile(const MethodSpec& spec, const Fidelity& fidelity);

// What each end is asked first, one request a sample.
std::vector<Request> sender_questions(const Batch& batch, Reading reading);
std::vector<Request> receiver_questions(const Batch& batch);

// Sends what the sender said to its questions in this exchange: each sample's rows, ids or vectors.
void send_first_answers(const Batch& batch, SendEnd& wire, PayloadKind kind,
                        std::span<const Request> questions, std::span<const at::Tensor> said);

}  // namespace kvcomm
