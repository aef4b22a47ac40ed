#include "plan/cost.h"

#include <algorithm>

#include "plan/memory.h"

namespace kvcomm {

namespace {

std::vector<ModelConfig> configs_of(const std::vector<PlannedModel>& models) {
  std::vector<ModelConfig> configs;
  for (const PlannedModel& model : models) configs.push_back(model.config);
  return configs;
}

}  // namespace

SampleCost sample_cost(const Plan& plan, const Cell& cell) {
  const PlannedPair& pair = plan.pairs[cell.pair];
  return {cell.spec, plan.fidelity, configs_of(pair.senders), pair.receiver.config};
}

CellWork& CellWork::operator+=(const CellWork& other) {
  flops += other.flops;
  read_flops += other.read_flops;
  weights_bytes += other.weights_bytes;
  return *this;
}

namespace {

// With the first tokens alone, which the prompts' own passes give.
SampleTokens only_read(SampleTokens tokens) {
  for (SampleTokens::Sender& sender : tokens.senders) {
    sender.said = std::min<int64_t>(sender.said, 1);
  }
  tokens.first_answer = std::min<int64_t>(tokens.first_answer, 1);
  tokens.answer = std::min<int64_t>(tokens.answer, 1);
  return tokens;
}

}  // namespace

CellWork cell_work(const Plan& plan, const Cell& cell, std::span<const SampleTokens> samples) {
  const PlannedPair& pair = plan.pairs[cell.pair];
  const auto weights = [&](const PlannedModel& model) {
    const RankMemory memory = memory_of(model.config, plan.config.run.dtype, 0, 0);
    return static_cast<double>(memory.weights);
  };
  const auto steps = [](int64_t generated) {
    return static_cast<double>(std::max<int64_t>(generated - 1, 0));
  };
  const bool receiver_answers = profile_of(cell.spec, plan.fidelity).receiver_reads();
  const double answering = weights(receiver_answers ? pair.receiver : pair.senders.front());
  const SampleCost cost = sample_cost(plan, cell);
  std::vector<double> speaking;  // weights of each sender
  for (const PlannedModel& sender : pair.senders) speaking.push_back(weights(sender));
  const auto flops_of = [&](const SampleTokens& tokens) {
    const SampleFlops flops = cost.of(tokens);
    return flops.senders.all + flops.answering.all;
  };
  CellWork work;
  for (const SampleTokens& tokens : samples) {
    work.flops += flops_of(tokens);
    work.read_flops += flops_of(only_read(tokens));
    work.weights_bytes += answering * (steps(tokens.answer) + steps(tokens.first_answer));
    for (size_t i = 0; i < tokens.senders.size(); ++i) {
      work.weights_bytes += speaking[i] * steps(tokens.senders[i].said);
    }
  }
  return work;
}

double seconds_at(const Rates& rates, const CellWork& work) {
  return work.read_flops / rates.flops_per_s + work.weights_bytes / rates.bytes_per_s;
}

}  // namespace kvcomm
