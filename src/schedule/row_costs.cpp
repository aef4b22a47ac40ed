#include "schedule/row_costs.h"

#include <algorithm>

namespace kvcomm {

SampleTokens tokens_of(const SampleRow& row) {
  const auto count = [](uint64_t tokens) { return static_cast<int64_t>(tokens); };
  // Rows of older programs do not say what came before the last prompt.
  const auto before = [&](uint64_t all, uint64_t last) {
    return count(std::max(all, last) - last);
  };
  SampleTokens tokens{.senders = {},
                      .first_prompt = before(row.receiver_input_tokens, row.prompt_tokens),
                      .first_answer = before(row.receiver_output_tokens, row.output_tokens),
                      .prompt = count(row.prompt_tokens),
                      .answer = count(row.output_tokens),
                      .whole_layers = count(row.layers_sent)};
  for (const SenderPart& part : row.senders) {
    tokens.senders.push_back({count(part.context_tokens), count(part.output_tokens)});
  }
  if (row.senders.empty()) {
    tokens.senders = {{count(row.context_tokens), count(row.sender_output_tokens)}};
  }
  return tokens;
}

void set_flops(SampleRow& row, const SampleCost& cost) {
  row.sender_flops = row.receiver_flops = row.attention_flops = 0;
  if (row.failed) {
    row.ttft_s = row.sender_joules = row.receiver_joules = 0;
    return;
  }
  const SampleFlops flops = cost.of(tokens_of(row));
  row.sender_flops = flops.senders.all;
  row.receiver_flops = flops.answering.all;
  row.attention_flops = flops.senders.attention + flops.answering.attention;
}

}  // namespace kvcomm
