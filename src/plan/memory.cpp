#include "plan/memory.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <string>

#include "base/error.h"
#include "method/control.h"
#include "model/weights.h"

namespace kvcomm {

namespace {

// English gives a token for about 4 bytes, Chinese for 3; templates and instructions come on top.
// Of numbers and code there are more: where that is too many for memory, batches are halved.
constexpr int64_t kBytesPerToken = 3, kTemplateTokens = 256;
// No text has fewer tokens than this says, or so few that have that they do not matter.
constexpr int64_t kMostBytesPerToken = 8;
// Of memory: allocators cut it into pieces, other programs have some, and a sender may hold what it
// has sent ahead (SendWindow).
constexpr double kUsable = 0.85;
// More samples are hardly faster: one read of the weights serves them all.
constexpr int64_t kMostOnGpu = 64, kMostOnCpu = 16;

// Of a pair's longest sample.
struct Lengths {
  int64_t context = 0, question = 0, said = 0, answer = 0;  // tokens; said: by a sender
  int64_t part = 0;                                         // of the context, that a sender reads
  // Some method's sender reads a context of its own beside the one that others share.
  bool reads_again = false;
  bool sends_hidden = false;  // some method's, activations of all its tokens
};

Lengths longest(const Plan& plan, size_t pair, Estimate estimate) {
  const int64_t most = plan.config.run.max_input_tokens;
  const auto tokens = [&](size_t bytes) {
    const auto all = static_cast<int64_t>(bytes);
    return std::min(most, estimate == Estimate::kHigh ? all / kBytesPerToken + kTemplateTokens
                                                      : all / kMostBytesPerToken + 1);
  };
  Lengths longest;
  for (const Cell& cell : plan.cells) {
    if (cell.pair != pair) continue;
    const Dataset& dataset = plan.datasets[cell.dataset];
    const int64_t answer = max_new_tokens(plan.config.datasets[cell.dataset], dataset.info);
    longest.answer = std::max(longest.answer, answer);
    const Profile profile = profile_of(cell.spec, plan.fidelity);
    const int64_t said = wire_cost(cell.spec, plan.pairs[pair].receiver.config,
                                   element_bytes(plan.config.run.dtype), plan.fidelity)
                             .most_steps;
    longest.said = std::max(longest.said, said);
    longest.reads_again |= said > 0 || profile.refines || profile.answers_at == End::kSender ||
                           control_of(cell.spec) == Control::kDeranged;
    longest.sends_hidden |= profile.joined_at.has_value();
    const auto count = std::min<int64_t>(cell.samples, std::ssize(dataset.samples));
    for (const Sample& sample : std::span(dataset.samples).first(static_cast<size_t>(count))) {
      size_t bytes = 0;
      for (const std::string& context : sample.contexts) {
        bytes += context.size();
        longest.part = std::max(longest.part, tokens(context.size()));
      }
      longest.context = std::max(longest.context, tokens(bytes));
      longest.question = std::max(longest.question, tokens(sample.question.size()));
    }
  }
  return longest;
}

int64_t weight_bytes(const ModelConfig& model, int64_t element) {
  int64_t elements = 0;
  for (const ExpectedTensor& tensor : expected_tensors(model)) {
    elements += c10::multiply_integers(tensor.shape);
  }
  return elements * element;
}

// The residual stream, its norm, q, k and v, what attention gives, gate and up, their product.
int64_t pass_bytes(const ModelConfig& model, int64_t tokens, int64_t element) {
  const int64_t heads = 2 * model.heads + 2 * model.kv_heads;
  return tokens * element * (4 * model.hidden + heads * model.head_dim + 3 * model.intermediate);
}

// The least that this process's control groups allow: version 2 of Linux's, each within its parent.
int64_t allowed_by_groups() {
  const std::filesystem::path root = "/sys/fs/cgroup";
  std::filesystem::path group = root;
  std::ifstream own("/proc/self/cgroup");
  for (std::string line; std::getline(own, line);) {
    if (line.starts_with("0::/")) group = root / line.substr(4);
  }
  int64_t least = std::numeric_limits<int64_t>::max();
  for (; group.native().size() >= root.native().size(); group = group.parent_path()) {
    int64_t bytes = 0;
    if (std::ifstream(group / "memory.max") >> bytes && bytes > 0) least = std::min(least, bytes);
  }
  return least;
}

}  // namespace

RankMemory memory_of(const ModelConfig& model, DtypeChoice dtype, int64_t pass_tokens,
                     int64_t kept_tokens) {
  const int64_t element = element_bytes(dtype);
  const int64_t logits = 3 * model.vocab * static_cast<int64_t>(sizeof(float));
  return {.weights = weight_bytes(model, element),
          .pass = pass_bytes(model, pass_tokens, element),
          .sample = kept_tokens * model.layers * model.kv_bytes_per_token(element) + logits};
}

PairMemory memory_of(const Plan& plan, size_t pair, Estimate estimate) {
  const PlannedPair& planned = plan.pairs[pair];
  if (!planned.has_configs()) return {};
  const Lengths tokens = longest(plan, pair, estimate);
  int64_t in_a_pass =
      std::min(plan.config.run.prefill_tokens, 16 * (tokens.context + tokens.question));
  if (plan.fidelity.looks_ahead()) in_a_pass = std::max(in_a_pass, tokens.question);
  const DtypeChoice dtype = plan.config.run.dtype;
  // hidden_tokens: whose activations are kept beside keys and values.
  const auto end = [&](const ModelConfig& model, int64_t kept_tokens, int64_t hidden_tokens) {
    RankMemory rank = memory_of(model, dtype, in_a_pass, kept_tokens);
    if (tokens.sends_hidden) rank.sample += hidden_tokens * model.hidden * element_bytes(dtype);
    return rank;
  };
  const int64_t read = (tokens.reads_again ? 2 : 1) * tokens.part;
  // What arrives is copied in front of the receiver's own.
  PairMemory memory{.receiver = end(planned.receiver.config,
                                    2 * tokens.context + tokens.question + tokens.answer,
                                    2 * tokens.context)};
  memory.all = memory.receiver;
  std::set<std::filesystem::path> loaded{planned.receiver.folder};
  for (const PlannedModel& model : planned.senders) {
    const RankMemory sender = end(model.config, read + tokens.said, tokens.part);
    if (sender.with(1) > memory.sender.with(1)) memory.sender = sender;
    if (loaded.insert(model.folder).second) memory.all.weights += sender.weights;
    memory.all.pass = std::max(memory.all.pass, sender.pass);
    memory.all.sample += sender.sample;
  }
  return memory;
}

int64_t device_memory(at::Device device, int ranks_on_node) {
  if (!device.is_cpu()) {
    return static_cast<int64_t>(
        at::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).second);
  }
  const int64_t all = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGE_SIZE);
  return std::min(all, allowed_by_groups()) / ranks_on_node;
}

void fit_batches(Plan& plan, int64_t bytes, bool alone) {
  const auto usable = static_cast<int64_t>(kUsable * static_cast<double>(bytes));
  const int64_t most = plan.device_kind == "cpu" ? kMostOnCpu : kMostOnGpu;
  const auto ends_of = [&](size_t pair, Estimate estimate) {
    const PairMemory memory = memory_of(plan, pair, estimate);
    return alone ? std::vector{memory.all} : std::vector{memory.sender, memory.receiver};
  };
  for (size_t pair = 0; pair < plan.pairs.size(); ++pair) {
    for (const RankMemory& end : ends_of(pair, Estimate::kLow)) {
      if (end.with(1) <= bytes) continue;
      fail(Exit::kEnvironment,
           "Pair '{}': weights of {:.1f} GiB, {:.1f} GiB for a pass of run.prefill_tokens = {} and "
           "{:.1f} GiB for the longest sample do not fit into the {:.1f} GiB of the smallest rank. "
           "Use more memory, run.dtype = \"bfloat16\", a smaller run.prefill_tokens or "
           "run.max_input_tokens, or a rank for each end.",
           plan.config.pairs[pair].name, gib(end.weights), gib(end.pass),
           plan.config.run.prefill_tokens, gib(end.sample), gib(bytes));
    }
    int64_t fit = most;
    for (const RankMemory& end : ends_of(pair, Estimate::kHigh)) {
      if (end.sample > 0) fit = std::min(fit, (usable - end.with(0)) / end.sample);
    }
    int64_t& batch = plan.pairs[pair].batch;
    if (plan.config.run.batch == 0) batch = std::max<int64_t>(fit, 1);
    if (batch <= std::max<int64_t>(fit, 0)) continue;
    spdlog::warn(
        "Pair '{}': batches of {} of its longest samples may not fit into the {:.1f} GiB of the "
        "smallest rank: what fails for want of memory is tried again alone.",
        plan.config.pairs[pair].name, batch, gib(bytes));
  }
}

std::string batches_line(const Plan& plan, int64_t bytes) {
  const auto [least, most] = std::ranges::minmax(plan.pairs, {}, &PlannedPair::batch);
  const std::string samples = least.batch == most.batch
                                  ? std::to_string(most.batch)
                                  : fmt::format("{} to {}, by pair,", least.batch, most.batch);
  return fmt::format(
      "Batches of up to {} samples (run.batch = 0: what fits into {:.1f} GiB a rank).", samples,
      gib(bytes));
}

}  // namespace kvcomm
