#include "model/prefill.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"

namespace kvcomm {

namespace {

// The slots' tokens dealt out in order to passes of at most so many, a slot's over several if need
// be.
std::vector<std::vector<Part>> passes_of(std::span<const SlotReading> readings, int64_t most) {
  std::vector<std::vector<Part>> passes(1);
  int64_t room = most;
  const auto next_pass = [&] {
    passes.emplace_back();
    room = most;
  };
  for (size_t slot = 0; slot < readings.size(); ++slot) {
    const SlotReading& reading = readings[slot];
    if (reading.in_one_pass && reading.tokens > room && room < most) next_pass();
    for (int64_t rest = reading.tokens; rest > 0;) {
      if (room <= 0) next_pass();
      const int64_t tokens = reading.in_one_pass ? rest : std::min(rest, room);
      rest -= tokens;
      passes.back().push_back({static_cast<int>(slot), tokens, reading.edit, /*later=*/rest});
      room -= tokens;
    }
  }
  return passes;
}

}  // namespace

at::Tensor rows_of(const at::Tensor& x, const std::vector<int64_t>& rows) {
  return x.index_select(0, at::tensor(rows, at::kLong).to(x.device()));
}

void require_prompts(std::span<const Request> requests) {
  for (const Request& request : requests) {
    if (request.prompt.ids.empty()) fail(Exit::kInternal, "A request without a prompt token.");
  }
}

at::Tensor embed_prompts(const Decoder& model, std::span<const Request> requests) {
  std::vector<int64_t> ids, vector_rows;
  std::vector<at::Tensor> vectors;
  for (const Request& request : requests) {
    for (const int64_t id : request.prompt.ids) {
      if (id == Prompt::kVector) vector_rows.push_back(std::ssize(ids));
      ids.push_back(id == Prompt::kVector ? 0 : id);
    }
    if (request.prompt.vectors.defined()) vectors.push_back(request.prompt.vectors);
  }
  at::Tensor x = model.embed(ids);
  if (!vector_rows.empty()) {
    x.index_copy_(0, at::tensor(vector_rows, at::kLong).to(x.device()), at::cat(vectors));
  }
  return x;
}

namespace {

// Runs packed x [tokens, hidden] through the cache's layers from `from` on, pass by pass. take: is
// given what comes out of each, and its parts.
template <typename Take>
void run_passes(const Decoder& model, KvCache& cache, std::span<const SlotReading> readings,
                const at::Tensor& x, const Observer& observer, int64_t from, Take&& take) {
  const std::vector<std::vector<Part>> passes = passes_of(readings, model.pass_tokens());
  int64_t begin = 0;
  for (const std::vector<Part>& parts : passes) {
    Observer now = observer;
    if (&parts != &passes.back()) now.on_kv = nullptr;
    Step step = model.step(cache, parts, Step::Phase::kPrefill);
    const at::Tensor out =
        model.layers(x.narrow(0, begin, step.tokens()), {from, cache.layers()}, step, cache, now);
    for (const Part& part : parts) cache.advance(part.slot, part.tokens);
    take(out, parts);
    begin += step.tokens();
  }
}

at::Tensor joined(const std::vector<at::Tensor>& parts) {
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

}  // namespace

at::Tensor prefill(const Decoder& model, KvCache& cache, std::span<const SlotReading> readings,
                   const at::Tensor& x, const Observer& observer) {
  std::vector<at::Tensor> last;
  const auto take = [&](const at::Tensor& out, const std::vector<Part>& parts) {
    std::vector<int64_t> ends;
    int64_t end = 0;
    for (const Part& part : parts) {
      end += part.tokens;
      if (part.later == 0) ends.push_back(end - 1);
    }
    if (!ends.empty()) last.push_back(rows_of(out, ends));
  };
  run_passes(model, cache, readings, x, observer, /*from=*/0, take);
  return joined(last);
}

std::vector<SlotReading> readings_of(std::span<const Request> requests, bool in_one_pass) {
  std::vector<SlotReading> readings;
  for (const Request& request : requests) {
    const bool ahead =
        std::ranges::any_of(request.own, [](const OwnTokens& own) { return own.lookahead > 0; });
    readings.push_back({.tokens = static_cast<int64_t>(request.prompt.size()),
                        .edit = request.edit ? &*request.edit : nullptr,
                        .in_one_pass = in_one_pass || ahead || request.edit.has_value()});
  }
  return readings;
}

std::vector<Request> behind_heads(const Decoder& model, std::span<const Request> requests,
                                  PrefixCache* prefixes) {
  std::vector<Request> behind(requests.begin(), requests.end());
  if (prefixes == nullptr) return behind;
  for (Request& request : behind) {
    if (request.head == 0) continue;
    std::vector<int64_t>& ids = request.prompt.ids;
    request.past = {
        {prefixes->read(model, std::span(ids).first(static_cast<size_t>(request.head)))}};
    request.own.assign(static_cast<size_t>(model.config().layers), {.start = request.head});
    ids.erase(ids.begin(), ids.begin() + request.head);
  }
  return behind;
}

KvCache cache_for(const Decoder& model, int64_t layers, std::span<const Request> requests,
                  std::span<const int64_t> more) {
  std::vector<SlotPlan> slots;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto prompt = static_cast<int64_t>(requests[i].prompt.size());
    slots.push_back({.capacity = prompt + (more.empty() ? 0 : more[i]),
                     .past = requests[i].past,
                     .own = requests[i].own});
  }
  return {model.config(), layers, slots, model.options()};
}

namespace {

// Requests that these sequences be read.
std::vector<Request> requests_for(std::span<const std::vector<int64_t>> sequences,
                                  const Heads& heads = {}) {
  std::vector<Request> requests;
  for (size_t i = 0; i < sequences.size(); ++i) {
    requests.push_back(
        {.prompt = {sequences[i]}, .head = heads.lengths.empty() ? 0 : heads.lengths[i]});
  }
  return requests;
}

std::vector<Request> read_behind(const Decoder& model,
                                 std::span<const std::vector<int64_t>> sequences,
                                 const Heads& heads) {
  const std::vector<Request> requests = requests_for(sequences, heads);
  require_prompts(requests);
  return behind_heads(model, requests, heads.prefixes);
}

}  // namespace

at::Tensor last_hidden(const Decoder& model, std::span<const std::vector<int64_t>> sequences,
                       int64_t layer, const Observer& observer, const Heads& heads) {
  const std::vector<Request> requests = read_behind(model, sequences, heads);
  KvCache cache = cache_for(model, layer, requests);
  return prefill(model, cache, readings_of(requests), embed_prompts(model, requests), observer);
}

at::Tensor hidden_states(const Decoder& model, std::span<const std::vector<int64_t>> sequences,
                         int64_t layer, const Observer& observer) {
  const std::vector<Request> requests = requests_for(sequences);
  require_prompts(requests);
  KvCache cache = cache_for(model, layer, requests);
  std::vector<at::Tensor> all;
  run_passes(model, cache, readings_of(requests), embed_prompts(model, requests), observer,
             /*from=*/0, [&](const at::Tensor& out, const auto&) { all.push_back(out); });
  return joined(all);
}

std::shared_ptr<const Context> read_from(const Decoder& model, const at::Tensor& x,
                                         std::span<const int64_t> tokens, int64_t layer) {
  std::vector<SlotPlan> slots;
  std::vector<SlotReading> readings;
  for (const int64_t of_sequence : tokens) {
    slots.push_back({.capacity = of_sequence});
    readings.push_back({.tokens = of_sequence});
  }
  KvCache cache(model.config(), model.config().layers, slots, model.options(), layer);
  run_passes(model, cache, readings, x, {}, layer, [](const auto&, const auto&) {});
  return std::make_shared<const Context>(cache.context());
}

std::shared_ptr<const Context> read_context(const Decoder& model,
                                            std::span<const std::vector<int64_t>> sequences,
                                            const Observer& observer, const Heads& heads) {
  const std::vector<Request> requests = read_behind(model, sequences, heads);
  KvCache cache = cache_for(model, model.config().layers, requests);
  prefill(model, cache, readings_of(requests), embed_prompts(model, requests), observer);
  return std::make_shared<const Context>(cache.context());
}

std::vector<std::vector<double>> context_importance(const Decoder& model,
                                                    std::span<const Request> requests,
                                                    const ops::ShareRule& rule) {
  require_prompts(requests);
  KvCache cache = cache_for(model, model.config().layers, requests);
  std::vector<std::vector<double>> importance(
      requests.size(), std::vector<double>(static_cast<size_t>(cache.layers()), 0.0));
  const Observer observer{
      .received_share =
          [&](int64_t layer, const Step& step, const at::Tensor& share) {
            int64_t begin = 0;
            for (const Part& part : step.parts) {
              const auto slot = static_cast<size_t>(part.slot);
              const double mean =
                  share.narrow(0, begin, part.tokens).to(at::kDouble).mean().item<double>();
              importance[slot][static_cast<size_t>(layer)] +=
                  mean * static_cast<double>(part.tokens) /
                  static_cast<double>(requests[slot].prompt.size());
              begin += part.tokens;
            }
          },
      .share_rule = rule};
  // Where nothing is hidden a token's share depends on those behind it, too.
  prefill(model, cache, readings_of(requests, /*in_one_pass=*/rule.visible_plus_one),
          embed_prompts(model, requests), observer);
  return importance;
}

}  // namespace kvcomm
