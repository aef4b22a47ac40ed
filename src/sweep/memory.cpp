#include "sweep/memory.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "model/weights.h"

namespace kvcomm {

namespace {

// English gives a token for about 4 bytes, Chinese for 3; templates and instructions come on top.
// Of numbers and code there are more: where that is too many for memory, batches are halved.
constexpr int64_t kBytesPerToken = 3, kTemplateTokens = 256;
// Of memory: allocators cut it into pieces, and other programs have some.
constexpr double kUsable = 0.85;
// More samples are hardly faster: one read of the weights serves them all.
constexpr int64_t kMostOnGpu = 64, kMostOnCpu = 16;

double gib(int64_t bytes) { return static_cast<double>(bytes) / (int64_t{1} << 30); }

// Of a pair's longest sample.
struct Lengths {
  int64_t context = 0, question = 0, said = 0, answer = 0;  // tokens; said: by a sender
};

Lengths longest(const Plan& plan, size_t pair) {
  const int64_t most = plan.config.run.max_input_tokens;
  const auto tokens = [&](size_t bytes) {
    return std::min(most, static_cast<int64_t>(bytes) / kBytesPerToken + kTemplateTokens);
  };
  Lengths longest;
  for (const Cell& cell : plan.cells) {
    if (cell.pair != pair) continue;
    const Dataset& dataset = plan.datasets[cell.dataset];
    const int64_t answer = max_new_tokens(plan.config.datasets[cell.dataset], dataset.info);
    longest.answer = std::max(longest.answer, answer);
    const int64_t said = cell.spec.resolved.value("phase1_tokens", int64_t{0});
    longest.said = std::max(longest.said, said);
    const auto count = std::min<int64_t>(cell.samples, std::ssize(dataset.samples));
    for (const Sample& sample : std::span(dataset.samples).first(static_cast<size_t>(count))) {
      size_t bytes = 0;
      for (const std::string& context : sample.contexts) bytes += context.size();
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

}  // namespace

RankMemory memory_of(const ModelConfig& model, DtypeChoice dtype, int64_t pass_tokens,
                     int64_t kept_tokens) {
  const int64_t element = element_bytes(dtype);
  const int64_t logits = 3 * model.vocab * static_cast<int64_t>(sizeof(float));
  return {.weights = weight_bytes(model, element),
          .pass = pass_bytes(model, pass_tokens, element),
          .sample = kept_tokens * model.layers * model.kv_bytes_per_token(element) + logits};
}

PairMemory memory_of(const Plan& plan, size_t pair) {
  const PlannedPair& planned = plan.pairs[pair];
  if (!planned.has_configs()) return {};
  const Lengths tokens = longest(plan, pair);
  const int64_t in_a_pass =
      std::min(plan.config.run.prefill_tokens, 16 * (tokens.context + tokens.question));
  const auto end = [&](const ModelConfig& model, int64_t kept_tokens) {
    return memory_of(model, plan.config.run.dtype, in_a_pass, kept_tokens);
  };
  PairMemory memory{.sender = end(planned.sender_config, tokens.context + tokens.said),
                    // what arrives is copied in front of the receiver's own
                    .receiver = end(planned.receiver_config,
                                    2 * tokens.context + tokens.question + tokens.answer)};
  const bool shared = planned.sender == planned.receiver;
  memory.both = {.weights = memory.receiver.weights + (shared ? 0 : memory.sender.weights),
                 .pass = std::max(memory.sender.pass, memory.receiver.pass),
                 .sample = memory.sender.sample + memory.receiver.sample};
  return memory;
}

int64_t device_memory(at::Device device, int ranks_on_node) {
  if (!device.is_cpu()) {
    return static_cast<int64_t>(
        at::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).second);
  }
  int64_t bytes = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGE_SIZE);
  int64_t allowed = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> allowed && allowed > 0) {
    bytes = std::min(bytes, allowed);
  }
  return bytes / ranks_on_node;
}

void fit_batches(Plan& plan, int64_t bytes, bool alone) {
  const auto usable = static_cast<int64_t>(kUsable * static_cast<double>(bytes));
  const int64_t most = plan.device_kind == "cpu" ? kMostOnCpu : kMostOnGpu;
  for (size_t pair = 0; pair < plan.pairs.size(); ++pair) {
    const PairMemory memory = memory_of(plan, pair);
    const std::vector<RankMemory> ends =
        alone ? std::vector{memory.both} : std::vector{memory.sender, memory.receiver};
    int64_t fit = most;
    for (const RankMemory& end : ends) {
      if (end.with(0) > bytes) {
        fail(Exit::kEnvironment,
             "Pair '{}': weights of {:.1f} GiB and {:.1f} GiB for a pass of run.prefill_tokens = "
             "{} do not fit into the {:.1f} GiB of the smallest rank. Use more memory, run.dtype = "
             "\"bfloat16\", a smaller run.prefill_tokens, or a rank for each end.",
             plan.config.pairs[pair].name, gib(end.weights), gib(end.pass),
             plan.config.run.prefill_tokens, gib(bytes));
      }
      if (end.sample > 0) fit = std::min(fit, (usable - end.with(0)) / end.sample);
    }
    if (plan.config.run.batch > 0) continue;
    plan.pairs[pair].batch = std::max<int64_t>(fit, 1);
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
