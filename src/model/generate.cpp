#include "model/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "model/device_watch.h"
#include "ops/weighted_sum.h"

namespace kvcomm {

namespace {

void require_prompts(std::span<const Request> requests) {
  for (const Request& request : requests) {
    if (request.prompt.ids.empty()) fail(Exit::kInternal, "A request without a prompt token.");
  }
}

// The embeddings of all prompts, packed: [tokens, hidden].
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

at::Tensor rows_of(const at::Tensor& x, const std::vector<int64_t>& rows) {
  return x.index_select(0, at::tensor(rows, at::kLong).to(x.device()));
}

// ---- prefill

// What one slot reads.
struct Reading {
  int64_t tokens = 0;
  const Edit* edit = nullptr;
  bool in_one_pass = false;
};

// The slots' tokens dealt out in order to passes of at most so many, a slot's over several if need
// be.
std::vector<std::vector<Part>> passes_of(std::span<const Reading> readings, int64_t most) {
  std::vector<std::vector<Part>> passes(1);
  int64_t room = most;
  const auto next_pass = [&] {
    passes.emplace_back();
    room = most;
  };
  for (size_t slot = 0; slot < readings.size(); ++slot) {
    const Reading& reading = readings[slot];
    if (reading.in_one_pass && reading.tokens > room && room < most) next_pass();
    for (int64_t rest = reading.tokens; rest > 0;) {
      if (room <= 0) next_pass();
      const int64_t tokens = reading.in_one_pass ? rest : std::min(rest, room);
      passes.back().push_back({static_cast<int>(slot), tokens, reading.edit});
      rest -= tokens;
      room -= tokens;
    }
  }
  return passes;
}

// Runs packed x [tokens, hidden] through the cache's layers; returns the last token's row of each
// slot [slots, hidden]. after_layer is called once a layer, when all of it is there.
at::Tensor prefill(const Decoder& model, KvCache& cache, std::span<const Reading> readings,
                   const at::Tensor& x, const Observer& observer = {}) {
  const std::vector<std::vector<Part>> passes = passes_of(readings, model.pass_tokens());
  std::vector<at::Tensor> last;
  int64_t begin = 0;
  for (const std::vector<Part>& parts : passes) {
    Observer now = observer;
    if (&parts != &passes.back()) now.after_layer = nullptr;
    Step step = model.step(cache, parts, Step::Phase::kPrefill);
    const at::Tensor out =
        model.layers(x.narrow(0, begin, step.tokens()), {0, cache.layers()}, step, cache, now);
    std::vector<int64_t> ends;
    int64_t end = 0;
    for (const Part& part : parts) {
      cache.advance(part.slot, part.tokens);
      end += part.tokens;
      if (cache.length(part.slot) == readings[static_cast<size_t>(part.slot)].tokens) {
        ends.push_back(end - 1);
      }
    }
    if (!ends.empty()) last.push_back(rows_of(out, ends));
    begin += step.tokens();
  }
  return last.size() == 1 ? last.front() : at::cat(last);
}

// in_one_pass: of all, however long; otherwise of those that ask for it.
std::vector<Reading> readings_of(std::span<const Request> requests, bool in_one_pass = false) {
  std::vector<Reading> readings;
  for (const Request& request : requests) {
    const bool ahead =
        std::ranges::any_of(request.own, [](const OwnPlace& own) { return own.lookahead > 0; });
    readings.push_back({.tokens = static_cast<int64_t>(request.prompt.size()),
                        .edit = request.edit ? &*request.edit : nullptr,
                        .in_one_pass = in_one_pass || ahead || request.edit.has_value()});
  }
  return readings;
}

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

// The requests as they are read: heads as what was received, in front of the rest.
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

std::vector<Request> read_behind(const Decoder& model,
                                 std::span<const std::vector<int64_t>> sequences,
                                 const Heads& heads) {
  const std::vector<Request> requests = requests_for(sequences, heads);
  require_prompts(requests);
  return behind_heads(model, requests, heads.prefixes);
}

// A cache of a model's first layers that holds these prompts, and room for as many tokens more
// (none: empty).
KvCache cache_for(const Decoder& model, int64_t layers, std::span<const Request> requests,
                  std::span<const int64_t> more = {}) {
  std::vector<SlotPlan> slots;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto prompt = static_cast<int64_t>(requests[i].prompt.size());
    slots.push_back({.capacity = prompt + (more.empty() ? 0 : more[i]),
                     .past = requests[i].past,
                     .own = requests[i].own});
  }
  return {model.config(), layers, slots, model.options()};
}

// ---- samplers

[[noreturn]] void fail_not_finite() {
  fail(Exit::kSomeFailed,
       "The model's logits are not finite: its weights, or what it attends to, hold NaN or "
       "infinity.");
}

// Each row's best id.
struct Best {
  at::Tensor on_device;      // [rows] int64
  std::vector<int64_t> ids;  // the same on the host
};

// A NaN is the largest of all for argmax, so looking at the best is enough. What the host reads
// comes at once: of a decoding step the only time that it waits for the device.
Best best_of(const at::Tensor& logits) {
  const at::Tensor best = logits.argmax(1);
  const at::Tensor finite = logits.gather(1, best.unsqueeze(1)).squeeze(1).isfinite();
  const at::Tensor read = at::stack({best, finite.to(at::kLong)}).to(at::kCPU);
  if (!read[1].all().item<bool>()) fail_not_finite();
  const int64_t* ids = read.const_data_ptr<int64_t>();
  return {best, {ids, ids + best.numel()}};
}

// Changes a row's logits for every id that came before, each once.
void penalise(at::Tensor row, const Request& request, const Answer& answer) {
  const double penalty = request.decoding.repetition_penalty;
  if (penalty == 1) return;
  std::vector<int64_t> ids = answer.ids;
  if (!request.prompt.vectors.defined()) {
    ids.insert(ids.end(), request.prompt.ids.begin(), request.prompt.ids.end());
  }
  const at::Tensor seen = at::tensor(ids, at::kLong).to(row.device());
  const at::Tensor logits = row.index_select(0, seen);  // of an id twice: the same value twice
  row.index_copy_(0, seen, at::where(logits.lt(0), logits * penalty, logits / penalty));
}

// What a sampler made of a step's logits.
struct Taken {
  std::vector<bool> going_on;  // one for each active sequence
  at::Tensor next;             // [those that go on, hidden]: what they read next
};

// Greedy decoding: each step appends an id to each active answer.
class Greedy {
 public:
  Greedy(const Decoder& model, std::span<const Request> requests)
      : model_(model), requests_(requests), answers_(requests.size()) {}

  Taken take(at::Tensor logits, std::span<const Part> active) {
    for (size_t i = 0; i < active.size(); ++i) {
      const auto slot = static_cast<size_t>(active[i].slot);
      penalise(logits[static_cast<int64_t>(i)], requests_[slot], answers_[slot]);
    }
    const Best best = best_of(logits);
    Taken taken;
    std::vector<int64_t> rows;
    for (size_t i = 0; i < active.size(); ++i) {
      const auto slot = static_cast<size_t>(active[i].slot);
      const Decoding& decoding = requests_[slot].decoding;
      answers_[slot].ids.push_back(best.ids[i]);
      const bool ended = std::ranges::find(decoding.eos, best.ids[i]) != decoding.eos.end();
      const bool full = std::ssize(answers_[slot].ids) >= decoding.max_new_tokens;
      taken.going_on.push_back(!ended && !full);
      if (taken.going_on.back()) rows.push_back(static_cast<int64_t>(i));
    }
    const bool all = rows.size() == active.size();  // then the device needs nothing of the host
    if (!rows.empty()) {
      taken.next =
          model_.embeddings().index_select(0, all ? best.on_device : rows_of(best.on_device, rows));
    }
    return taken;
  }

  int64_t steps(size_t slot) const { return std::ssize(answers_[slot].ids); }
  const std::vector<Answer>& answers() const { return answers_; }

 private:
  const Decoder& model_;
  std::span<const Request> requests_;
  std::vector<Answer> answers_;
};

// CIPHER's step for each row of logits: the emitted vector [rows, hidden], in the table's type.
at::Tensor mean_embedding(const Decoder& model, const at::Tensor& logits, double temperature) {
  constexpr double kColdest = 1e-6;  // as in the release; scores would overflow below it
  const at::Tensor weights = at::softmax(logits / std::max(temperature, kColdest), 1);
  return ops::weighted_sum(weights.to(model.embeddings().scalar_type()), model.embeddings());
}

class Vectors {
 public:
  // lengths: of the table's embeddings, [vocab].
  Vectors(const Decoder& model, size_t requests, const VectorDecoding& decoding,
          const at::Tensor& lengths)
      : model_(model),
        decoding_(decoding),
        products_(model.embeddings()),
        lengths_(lengths),
        emitted_(requests) {}

  Taken take(const at::Tensor& logits, std::span<const Part> active) {
    const at::Tensor vectors = mean_embedding(model_, logits, decoding_.temperature);
    // A vector's own length changes nothing in what is nearest.
    const std::vector<int64_t> nearest = best_of(products_(vectors).to(at::kFloat) / lengths_).ids;
    Taken taken;
    std::vector<int64_t> rows;
    for (size_t i = 0; i < nearest.size(); ++i) {
      auto& own = emitted_[static_cast<size_t>(active[i].slot)];
      const auto row = static_cast<int64_t>(i);
      const bool ended = nearest[i] == decoding_.eos;
      if (!ended) own.push_back(vectors[row]);
      taken.going_on.push_back(!ended && std::ssize(own) < decoding_.max_steps);
      if (taken.going_on.back()) rows.push_back(row);
    }
    if (!rows.empty()) taken.next = rows_of(vectors, rows);  // a copy: layers change it in place
    return taken;
  }

  int64_t steps(size_t slot) const { return std::ssize(emitted_[slot]); }
  std::vector<VectorAnswer> answers() const {
    std::vector<VectorAnswer> answers;
    for (const auto& vectors : emitted_) {
      answers.push_back({.vectors = vectors.empty()
                                        ? at::empty({0, model_.config().hidden}, model_.options())
                                        : at::stack(vectors)});
    }
    return answers;
  }

 private:
  const Decoder& model_;
  VectorDecoding decoding_;
  ops::Linear products_;  // with every embedding
  at::Tensor lengths_;
  std::vector<std::vector<at::Tensor>> emitted_;  // [requests][steps] of [hidden]
};

// ---- decoding

struct Times {
  Seconds prefill_s = 0, decode_s = 0;
};

// Runs requests to their ends: a prefill, then steps with one token for each sequence that goes on.
// max_new: the most steps of each.
template <typename Sampler>
Times run(const Decoder& model, std::span<const Request> requests, std::span<const int64_t> max_new,
          Sampler& sampler, PrefixCache* prefixes, bool in_one_pass = false) {
  require_prompts(requests);
  for (const int64_t steps : max_new) {
    if (steps <= 0) fail(Exit::kInternal, "A request for {} new tokens.", steps);
  }
  const DeviceWatch prefill_watch(model.options().device());
  const std::vector<Request> read = behind_heads(model, requests, prefixes);
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
  while (!active.empty()) {
    if (step && step->parts.size() == active.size()) {  // nobody left: the same sequences
      model.advance(*step, cache);
    } else {
      step.emplace(model.step(cache, active, Step::Phase::kDecode));
    }
    const at::Tensor x = model.layers(next, {0, cache.layers()}, *step, cache);
    for (const Part& part : active) cache.advance(part.slot, 1);
    sample(x);
  }
  return {prefill_s, decode_watch.elapsed_s()};
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
                             PrefixCache* prefixes) {
  if (requests.empty()) return {};
  std::vector<int64_t> max_new;
  for (const Request& request : requests) max_new.push_back(request.decoding.max_new_tokens);
  Greedy greedy(model, requests);
  const Times times = run(model, requests, max_new, greedy, prefixes);
  std::vector<Answer> answers = greedy.answers();
  share_out_seconds(answers, requests, greedy, times);
  return answers;
}

std::vector<VectorAnswer> generate_vectors(const Decoder& model, std::span<const Request> requests,
                                           const VectorDecoding& decoding, PrefixCache* prefixes) {
  // No step rounds to a token, so the last bits of a product grow from step to step, and they
  // depend on how many rows it had: in float32, where answers must not depend on the batch, each
  // sequence runs alone, and its prompt in one pass.
  const bool exact = model.options().dtype() == at::kFloat;
  const size_t together = exact ? 1 : requests.size();
  if (exact) prefixes = nullptr;  // they change last bits too
  const at::Tensor lengths =
      at::linalg_vector_norm(model.embeddings(), 2, 1, /*keepdim=*/false, at::kFloat)
          .clamp_min_(1e-12);
  std::vector<VectorAnswer> answers;
  for (size_t begin = 0; begin < requests.size(); begin += together) {
    const std::span some = requests.subspan(begin, together);
    Vectors vectors(model, some.size(), decoding, lengths);
    const Times times = run(model, some, std::vector<int64_t>(some.size(), decoding.max_steps),
                            vectors, prefixes, /*in_one_pass=*/exact);
    std::vector<VectorAnswer> emitted = vectors.answers();
    share_out_seconds(emitted, some, vectors, times);
    std::ranges::move(emitted, std::back_inserter(answers));
  }
  return answers;
}

at::Tensor last_hidden(const Decoder& model, std::span<const std::vector<int64_t>> sequences,
                       int64_t layer, const Heads& heads) {
  const std::vector<Request> requests = read_behind(model, sequences, heads);
  KvCache cache = cache_for(model, layer, requests);
  return prefill(model, cache, readings_of(requests), embed_prompts(model, requests));
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
