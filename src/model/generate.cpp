#include "model/generate.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "model/device_watch.h"

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

std::vector<Sequence> prefill_sequences(std::span<const Request> requests) {
  std::vector<Sequence> sequences;
  for (const Request& request : requests) {
    sequences.push_back({.tokens = static_cast<int64_t>(request.prompt.size()),
                         .slot = static_cast<int>(sequences.size()),
                         .start = request.start,
                         .past = request.past,
                         .lookahead = request.lookahead,
                         .edit = request.edit ? &*request.edit : nullptr});
  }
  return sequences;
}

// Packed sequences of which nothing is kept but what an observer takes.
std::vector<Sequence> read_sequences(std::span<const std::vector<int64_t>> sequences) {
  std::vector<Sequence> read;
  for (const auto& ids : sequences) read.push_back({.tokens = std::ssize(ids)});
  return read;
}

std::vector<int64_t> packed(std::span<const std::vector<int64_t>> sequences) {
  std::vector<int64_t> ids;
  for (const auto& sequence : sequences) ids.insert(ids.end(), sequence.begin(), sequence.end());
  return ids;
}

// The rows of x that hold each sequence's last token: [sequences, hidden].
at::Tensor last_rows(const at::Tensor& x, std::span<const Sequence> sequences) {
  std::vector<int64_t> rows;
  int64_t end = 0;
  for (const Sequence& sequence : sequences) rows.push_back((end += sequence.tokens) - 1);
  return x.index_select(0, at::tensor(rows, at::kLong).to(x.device()));
}

void require_finite(const at::Tensor& values) {
  if (values.isfinite().all().item<bool>()) return;
  fail(Exit::kSomeFailed,
       "The model's logits are not finite: its weights, or what it attends to, hold NaN or "
       "infinity.");
}

// Each row's best id. A NaN is the largest of all for argmax, so looking at the best is enough.
std::vector<int64_t> best_ids(const at::Tensor& logits) {
  const at::Tensor best = logits.argmax(1);
  require_finite(logits.gather(1, best.unsqueeze(1)));
  const at::Tensor ids = best.to(at::kCPU);
  return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel()};
}

// Runs a batch's passes: a prefill, then steps with one token for each sequence that goes on.
class Passes {
 public:
  // max_new: the most tokens that each request's answer may have.
  Passes(const Decoder& model, std::span<const Request> requests, std::span<const int64_t> max_new)
      : model_(model), all_{0, model.config().layers} {
    require_prompts(requests);
    std::vector<int64_t> capacity;
    for (size_t i = 0; i < requests.size(); ++i) {
      if (max_new[i] <= 0) fail(Exit::kInternal, "A request for {} new tokens.", max_new[i]);
      capacity.push_back(static_cast<int64_t>(requests[i].prompt.size()) + max_new[i]);
    }
    cache_.emplace(model.config(), capacity, model.options());
    pass_ = {.sequences = prefill_sequences(requests), .cache = &*cache_};
  }

  // The logits after each prompt: [sequences, vocab] float32, as are step()'s.
  at::Tensor prefill(std::span<const Request> requests) {
    const at::Tensor x = model_.layers(embed_prompts(model_, requests), all_, pass_);
    const at::Tensor logits = model_.logits(last_rows(x, pass_.sequences));
    for (Sequence& sequence : pass_.sequences) sequence.tokens = 1;
    return logits.to(at::kFloat);
  }

  // x [active sequences, hidden]: the embedding of each one's new token.
  at::Tensor step(const at::Tensor& x) {
    return model_.logits(model_.layers(x, all_, pass_)).to(at::kFloat);
  }

  // The active sequences; their slots are the requests' places. keep: one for each of them.
  const std::vector<Sequence>& active() const { return pass_.sequences; }
  void keep_active(const std::vector<bool>& keep) {
    std::vector<Sequence> going_on;
    for (size_t i = 0; i < keep.size(); ++i) {
      if (keep[i]) going_on.push_back(pass_.sequences[i]);
    }
    pass_.sequences = std::move(going_on);
  }

 private:
  const Decoder& model_;
  LayerRange all_;
  std::optional<KvCache> cache_;
  Pass pass_;
};

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

// Appends a new id to each active answer; says who goes on.
std::vector<bool> take_ids(at::Tensor logits, const Passes& passes,
                           std::span<const Request> requests, std::vector<Answer>& answers) {
  const std::vector<Sequence>& active = passes.active();
  for (size_t i = 0; i < active.size(); ++i) {
    const auto slot = static_cast<size_t>(active[i].slot);
    penalise(logits[static_cast<int64_t>(i)], requests[slot], answers[slot]);
  }
  const std::vector<int64_t> ids = best_ids(logits);
  std::vector<bool> going_on;
  for (size_t i = 0; i < active.size(); ++i) {
    const auto slot = static_cast<size_t>(active[i].slot);
    const Decoding& decoding = requests[slot].decoding;
    answers[slot].ids.push_back(ids[i]);
    const bool ended = std::ranges::find(decoding.eos, ids[i]) != decoding.eos.end();
    const bool full = std::ssize(answers[slot].ids) >= decoding.max_new_tokens;
    going_on.push_back(!ended && !full);
  }
  return going_on;
}

// tokens: how many each answer generated.
template <typename AnyAnswer>
void share_out_seconds(std::vector<AnyAnswer>& answers, std::span<const Request> requests,
                       const std::vector<int64_t>& tokens, Seconds prefill_s, Seconds decode_s) {
  double prompt_tokens = 0, output_tokens = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    prompt_tokens += static_cast<double>(requests[i].prompt.size());
    output_tokens += static_cast<double>(tokens[i]);
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    answers[i].prefill_s =
        prefill_s * static_cast<double>(requests[i].prompt.size()) / prompt_tokens;
    answers[i].decode_s =
        output_tokens == 0 ? 0 : decode_s * static_cast<double>(tokens[i]) / output_tokens;
  }
}

// CIPHER's step for each row of logits: the emitted vector [rows, hidden], in the table's type.
at::Tensor mean_embedding(const Decoder& model, const at::Tensor& logits, double temperature) {
  require_finite(logits);
  constexpr double kColdest = 1e-6;  // as in the release; scores would overflow below it
  const at::Tensor weights = at::softmax(logits / std::max(temperature, kColdest), 1);
  return at::matmul(weights.to(model.embeddings().scalar_type()), model.embeddings());
}

}  // namespace

std::vector<Answer> generate(const Decoder& model, std::span<const Request> requests) {
  if (requests.empty()) return {};
  std::vector<Answer> answers(requests.size());
  const DeviceWatch prefill_watch(model.options().device());
  std::vector<int64_t> max_new;
  for (const Request& request : requests) max_new.push_back(request.decoding.max_new_tokens);
  Passes passes(model, requests, max_new);
  passes.keep_active(take_ids(passes.prefill(requests), passes, requests, answers));
  const Seconds prefill_s = prefill_watch.elapsed_s();

  const DeviceWatch decode_watch(model.options().device());
  while (!passes.active().empty()) {
    std::vector<int64_t> last;
    for (const Sequence& s : passes.active()) {
      last.push_back(answers[static_cast<size_t>(s.slot)].ids.back());
    }
    passes.keep_active(take_ids(passes.step(model.embed(last)), passes, requests, answers));
  }
  std::vector<int64_t> tokens;
  for (const Answer& answer : answers) tokens.push_back(std::ssize(answer.ids));
  share_out_seconds(answers, requests, tokens, prefill_s, decode_watch.elapsed_s());
  return answers;
}

namespace {

// lengths: of the table's embeddings, [vocab].
std::vector<VectorAnswer> emit_together(const Decoder& model, std::span<const Request> requests,
                                        const VectorDecoding& decoding, const at::Tensor& lengths) {
  const DeviceWatch prefill_watch(model.options().device());
  Passes passes(model, requests, std::vector<int64_t>(requests.size(), decoding.max_steps));
  std::vector<std::vector<at::Tensor>> emitted(requests.size());
  // Takes a step's vectors; returns those of the sequences that go on.
  const auto take = [&](const at::Tensor& logits) {
    const at::Tensor vectors = mean_embedding(model, logits, decoding.temperature);
    const at::Tensor alike = at::matmul(vectors, model.embeddings().t()).to(at::kFloat) / lengths;
    const std::vector<int64_t> nearest = best_ids(alike);  // a vector's own length changes nothing
    std::vector<bool> going_on;
    std::vector<int64_t> rows;
    for (size_t i = 0; i < nearest.size(); ++i) {
      auto& own = emitted[static_cast<size_t>(passes.active()[i].slot)];
      const auto row = static_cast<int64_t>(i);
      if (nearest[i] != decoding.eos) own.push_back(vectors[row]);
      going_on.push_back(nearest[i] != decoding.eos && std::ssize(own) < decoding.max_steps);
      if (going_on.back()) rows.push_back(row);
    }
    passes.keep_active(going_on);
    return vectors.index_select(0, at::tensor(rows, at::kLong).to(vectors.device()));
  };
  at::Tensor next = take(passes.prefill(requests));
  const Seconds prefill_s = prefill_watch.elapsed_s();

  const DeviceWatch decode_watch(model.options().device());
  while (!passes.active().empty()) next = take(passes.step(next));
  std::vector<VectorAnswer> answers;
  std::vector<int64_t> steps;
  for (const auto& vectors : emitted) {
    steps.push_back(std::ssize(vectors));
    answers.push_back({.vectors = vectors.empty() ? next.new_empty({0, model.config().hidden})
                                                  : at::stack(vectors)});
  }
  share_out_seconds(answers, requests, steps, prefill_s, decode_watch.elapsed_s());
  return answers;
}

}  // namespace

std::vector<VectorAnswer> generate_vectors(const Decoder& model, std::span<const Request> requests,
                                           const VectorDecoding& decoding) {
  // No step rounds to a token, so the last bits of a product grow from step to step, and they
  // depend on how many rows it had: in float32, where answers must not depend on the batch, each
  // sequence runs alone.
  const size_t together = model.options().dtype() == at::kFloat ? 1 : requests.size();
  const at::Tensor lengths =
      at::linalg_vector_norm(model.embeddings(), 2, 1, /*keepdim=*/false, at::kFloat)
          .clamp_min_(1e-12);
  std::vector<VectorAnswer> answers;
  for (size_t begin = 0; begin < requests.size(); begin += together) {
    auto some = emit_together(model, requests.subspan(begin, together), decoding, lengths);
    std::ranges::move(some, std::back_inserter(answers));
  }
  return answers;
}

at::Tensor last_hidden(const Decoder& model, std::span<const std::vector<int64_t>> sequences,
                       int64_t layer) {
  const Pass pass{.sequences = read_sequences(sequences)};
  const at::Tensor x = model.layers(model.embed(packed(sequences)), {0, layer}, pass);
  return last_rows(x, pass.sequences);
}

std::shared_ptr<const Context> read_context(const Decoder& model,
                                            std::span<const std::vector<int64_t>> sequences,
                                            const Observer& observer) {
  auto context = std::make_shared<Context>();
  context->layers.resize(static_cast<size_t>(model.config().layers));
  for (const auto& sequence : sequences) context->rows.push_back(std::ssize(sequence));
  const Observer keep{.after_layer = [&](int64_t layer, const LayerKv& kv) {
    context->layers[static_cast<size_t>(layer)] = kv;
    if (observer.after_layer) observer.after_layer(layer, kv);
  }};
  const Pass pass{.sequences = read_sequences(sequences), .observer = &keep};
  model.layers(model.embed(packed(sequences)), {0, model.config().layers}, pass);
  return context;
}

std::vector<std::vector<double>> context_importance(const Decoder& model,
                                                    std::span<const Request> requests,
                                                    const ShareRule& rule) {
  require_prompts(requests);
  std::vector<std::vector<double>> importance(requests.size());
  Pass pass{.sequences = prefill_sequences(requests)};
  const Observer observer{
      .context_share =
          [&](int64_t, const at::Tensor& share) {
            int64_t begin = 0;
            for (size_t i = 0; i < pass.sequences.size(); ++i) {
              const int64_t tokens = pass.sequences[i].tokens;
              importance[i].push_back(
                  share.narrow(0, begin, tokens).to(at::kDouble).mean().item<double>());
              begin += tokens;
            }
          },
      .share_rule = rule};
  pass.observer = &observer;
  model.layers(embed_prompts(model, requests), {0, model.config().layers}, pass);
  return importance;
}

}  // namespace kvcomm
