#include "plan/effort.h"

#include <algorithm>
#include <map>
#include <thread>

#include "base/parallel.h"
#include "method/sharing.h"
#include "plan/cost.h"
#include "plan/memory.h"

namespace kvcomm {

namespace {

// A cell's models, and what one step of each reads.
class CellRates {
 public:
  CellRates(const Plan& plan, const Cell& cell, const Hardware& hardware,
            const std::map<std::string, double>& weights)
      : hardware_(hardware), cost_(sample_cost(plan, cell)), shares_(shares_layers(cell.spec)) {
    const PlannedPair& pair = plan.pairs[cell.pair];
    const auto step = [&](const PlannedModel& model) {
      return weights.at(model.folder.string()) / hardware.bytes_per_s + hardware.step_s;
    };
    for (const PlannedModel& sender : pair.senders) {
      ++senders_;
      sending_step_s_ = std::max(sending_step_s_, step(sender));
    }
    const bool receiver_answers = profile_of(cell.spec, plan.fidelity).receiver_reads();
    answering_step_s_ = step(receiver_answers ? pair.receiver : pair.senders.front());
    wire_ = wire_cost(cell.spec, pair.receiver.config, element_bytes(plan.config.run.dtype),
                      plan.fidelity);
  }

  // Senders read side by side.
  ExchangeSeconds of(const SampleTokens& tokens) const {
    SampleTokens read = tokens;
    int64_t context = 0, said = 0;
    for (SampleTokens::Sender& sender : read.senders) {
      context += sender.context;
      said = std::max(said, sender.said);
      sender.said = std::min<int64_t>(sender.said, 1);
    }
    read.first_answer = std::min<int64_t>(read.first_answer, 1);
    read.answer = std::min<int64_t>(read.answer, 1);
    const SampleFlops flops = cost_.of(read);
    const auto steps = [](int64_t generated) {
      return static_cast<double>(std::max<int64_t>(generated - 1, 0));
    };
    const auto sent = static_cast<double>(wire_.per_context_token * context + wire_.per_sample +
                                          wire_.per_step * wire_.most_steps);
    ExchangeSeconds seconds{
        .sending = flops.senders.all / hardware_.flops_per_s / static_cast<double>(senders_),
        .sending_steps = steps(said) * sending_step_s_,
        .wire = sent / hardware_.wire_bytes_per_s,
        .answering = flops.answering.all / hardware_.flops_per_s,
        .answering_steps = (steps(tokens.answer) + steps(tokens.first_answer)) * answering_step_s_};
    if (shares_) std::swap(seconds.context, seconds.sending);
    return seconds;
  }

 private:
  const Hardware& hardware_;
  const SampleCost cost_;
  const bool shares_;
  int senders_ = 0;
  Seconds sending_step_s_ = 0, answering_step_s_ = 0;
  WireCost wire_;
};

// Bytes, by folder, of each model whose config.json is there.
std::map<std::string, double> weights_of(const Plan& plan) {
  std::map<std::string, double> weights;
  for (const PlannedPair& pair : plan.pairs) {
    if (!pair.has_configs()) continue;
    for (const PlannedModel* model : pair.models()) {
      double& bytes = weights[model->folder.string()];
      if (bytes > 0) continue;
      bytes = static_cast<double>(memory_of(model->config, plan.config.run.dtype, 0, 0).weights);
    }
  }
  return weights;
}

}  // namespace

ExchangeSeconds Effort::batch(const Cell& cell, std::span<const uint32_t> samples) const {
  ExchangeSeconds all;
  if (cell.id >= cells.size() || cells[cell.id].empty()) {
    all.answering = static_cast<double>(samples.size());
    return all;
  }
  for (const uint32_t sample : samples) {
    const ExchangeSeconds& one = cells[cell.id].at(sample);
    all.context += one.context;
    all.sending += one.sending;
    all.wire += one.wire;
    all.answering += one.answering;
    all.sending_steps = std::max(all.sending_steps, one.sending_steps);
    all.answering_steps = std::max(all.answering_steps, one.answering_steps);
  }
  return all;
}

Effort effort_of(const Plan& plan, const Hardware& hardware, TokenCounter& counter) {
  const std::map<std::string, double> weights = weights_of(plan);
  Effort effort{.cells = std::vector<std::vector<ExchangeSeconds>>(plan.cells.size()),
                .load_s = std::vector<Seconds>(plan.pairs.size())};
  for (size_t pair = 0; pair < plan.pairs.size(); ++pair) {
    if (!plan.pairs[pair].has_configs()) continue;
    for (const PlannedModel* model : plan.pairs[pair].models()) {
      const Seconds load_s = weights.at(model->folder.string()) / hardware.load_bytes_per_s;
      effort.load_s[pair] = std::max(effort.load_s[pair], load_s);
    }
  }
  std::vector<std::vector<SampleTokens>> tokens(plan.cells.size());
  for (size_t i = 0; i < plan.cells.size(); ++i) {
    if (auto counted = counter.count(plan.cells[i])) tokens[i] = std::move(counted->each);
  }
  in_parallel(0, plan.cells.size(), std::thread::hardware_concurrency(), [&](size_t i) {
    const Cell& cell = plan.cells[i];
    const CellRates rates(plan, cell, hardware, weights);
    for (const SampleTokens& sample : tokens[i]) effort.cells[i].push_back(rates.of(sample));
    // What is too long fails at once, and was left out of the count.
    effort.cells[i].resize(static_cast<size_t>(cell.samples));
  });
  return effort;
}

}  // namespace kvcomm
