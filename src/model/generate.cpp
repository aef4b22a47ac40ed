#include "model/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "model/device_watch.h"
#include "model/prefill.h"
#include "model/sampler.h"

namespace kvcomm {

namespace {

struct Times {
  Seconds prefill_s = 0, decode_s = 0;
};

// Runs requests to their ends: a prefill, then steps with one token for each sequence that goes on.
// max_new: the most steps of each.
template <typename Sampler>
Times run(const Decoder& model, std::span<const Request> requests, std::span<const int64_t> max_new,
          Sampler& sampler, const Generation& how, bool in_one_pass = false) {
  require_prompts(requests);
  for (const int64_t steps : max_new) {
    if (steps <= 0) fail(Exit::kInternal, "A request for {} new tokens.", steps);
  }
  const DeviceWatch prefill_watch(model.options().device());
  const std::vector<Request> read = behind_heads(model, requests, how.prefixes);
  KvCache cache = cache_for(model, model.config().layers, read, max_new);
  std::vector<Part> active;
  for (size_t i = 0; i < requests.size(); ++i) active.push_back({static_cast<int>(i), 1});
  at::Tensor next;
  const auto sample = [&](const at::Tensor& x) {  // [active, hidden], out of the last layer
    Taken taken = sampler.take(model.logits(x).to(at::kFloat), active);
    std::vector<Part> going_on;
    for (size_t i = 0; i < active.size(); ++i) {
      if (taken.going_on[i]) going_on.push_back(active[i]);
    }
    active = std::move(going_on);
    next = taken.next;
  };
  sample(prefill(model, cache, readings_of(read, in_one_pass), embed_prompts(model, read)));
  const Seconds prefill_s = prefill_watch.elapsed_s();

  const DeviceWatch decode_watch(model.options().device());
  std::optional<Step> step;
  Seconds attended_s = 0;  // to what is not this model's work
  while (!active.empty()) {
    if (step && step->parts.size() == active.size()) {  // nobody left: the same sequences
      model.advance(*step, cache);
    } else {
      step.emplace(model.step(cache, active, Step::Phase::kDecode));
    }
    const at::Tensor x = model.layers(next, {0, cache.layers()}, *step, cache);
    for (const Part& part : active) cache.advance(part.slot, 1);
    sample(x);
    if (!how.between_steps) continue;
    const Stopwatch attending;
    how.between_steps();
    attended_s += attending.elapsed_s();
  }
  return {prefill_s, decode_watch.elapsed_s() - attended_s};
}

// By tokens of the prompts, and by steps.
template <typename Sampler, typename AnyAnswer>
void share_out_seconds(std::vector<AnyAnswer>& answers, std::span<const Request> requests,
                       const Sampler& sampler, const Times& times) {
  double prompt_tokens = 0, steps = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    prompt_tokens += static_cast<double>(requests[i].prompt.size());
    steps += static_cast<double>(sampler.steps(i));
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    const double share = steps == 0 ? 0 : static_cast<double>(sampler.steps(i)) / steps;
    answers[i].prefill_s =
        times.prefill_s * static_cast<double>(requests[i].prompt.size()) / prompt_tokens;
    answers[i].decode_s = times.decode_s * share;
  }
}

}  // namespace

std::vector<Answer> generate(const Decoder& model, std::span<const Request> requests,
                             const Generation& how) {
  if (requests.empty()) return {};
  std::vector<int64_t> max_new;
  for (const Request& request : requests) max_new.push_back(request.decoding.max_new_tokens);
  GreedySampler greedy(model, requests);
  const Times times = run(model, requests, max_new, greedy, how);
  std::vector<Answer> answers = greedy.answers();
  share_out_seconds(answers, requests, greedy, times);
  return answers;
}

std::vector<VectorAnswer> generate_vectors(const Decoder& model, std::span<const Request> requests,
                                           const VectorDecoding& decoding, const Generation& how) {
  // No step rounds to a token, so the last bits of a product grow from step to step, and they
  // depend on how many rows it had: in float32, where answers must not depend on the batch, each
  // sequence runs alone, and its prompt in one pass.
  const bool exact = model.options().dtype() == at::kFloat;
  const size_t together = exact ? 1 : requests.size();
  // Prefixes change last bits too.
  const Generation generation{.prefixes = exact ? nullptr : how.prefixes,
                              .between_steps = how.between_steps};
  const at::Tensor lengths =
      at::linalg_vector_norm(model.embeddings(), 2, 1, /*keepdim=*/false, at::kFloat)
          .clamp_min_(1e-12);
  std::vector<VectorAnswer> answers;
  for (size_t begin = 0; begin < requests.size(); begin += together) {
    const std::span some = requests.subspan(begin, together);
    VectorSampler vectors(model, some.size(), decoding, lengths);
    const Times times = run(model, some, std::vector<int64_t>(some.size(), decoding.max_steps),
                            vectors, generation, /*in_one_pass=*/exact);
    std::vector<VectorAnswer> emitted = vectors.answers();
    share_out_seconds(emitted, some, vectors, times);
    std::ranges::move(emitted, std::back_inserter(answers));
  }
  return answers;
}

}  // namespace kvcomm
