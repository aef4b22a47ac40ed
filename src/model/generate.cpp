#include "model/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace kvcomm {

namespace {

std::vector<int64_t> packed_ids(std::span<const Request> requests) {
  std::vector<int64_t> ids;
  for (const Request& request : requests) {
    if (request.prompt.empty()) fail(Exit::kInternal, "A request without a prompt token.");
    ids.insert(ids.end(), request.prompt.begin(), request.prompt.end());
  }
  return ids;
}

std::vector<Sequence> prefill_sequences(std::span<const Request> requests) {
  std::vector<Sequence> sequences;
  for (const Request& request : requests) {
    sequences.push_back({.tokens = static_cast<int64_t>(request.prompt.size()),
                         .slot = static_cast<int>(sequences.size()),
                         .start = request.start,
                         .past = request.past});
  }
  return sequences;
}

// The rows of x that hold each sequence's last token: [sequences, hidden].
at::Tensor last_rows(const at::Tensor& x, std::span<const Sequence> sequences) {
  std::vector<int64_t> rows;
  int64_t end = 0;
  for (const Sequence& sequence : sequences) rows.push_back((end += sequence.tokens) - 1);
  return x.index_select(0, at::tensor(rows, at::kLong).to(x.device()));
}

std::vector<int64_t> greedy(const at::Tensor& logits) {
  const at::Tensor wide = logits.to(at::kFloat);
  const at::Tensor best = wide.argmax(1).to(at::kCPU);  // a NaN is the largest of all for argmax
  if (!wide.gather(1, best.to(wide.device()).unsqueeze(1)).isfinite().all().item<bool>()) {
    fail(Exit::kSomeFailed,
         "The model's logits are not finite: its weights, or what it attends to, hold NaN or "
         "infinity.");
  }
  return {best.const_data_ptr<int64_t>(), best.const_data_ptr<int64_t>() + best.numel()};
}

// Keeps ids and who goes on; the batch shrinks as answers end.
class Decodes {
 public:
  Decodes(std::span<const Request> requests, std::vector<Sequence> sequences)
      : requests_(requests), active_(std::move(sequences)), answers_(requests.size()) {
    for (Sequence& sequence : active_) sequence.tokens = 1;
  }

  // Takes one new id for each active sequence and drops those that have ended.
  void take(const std::vector<int64_t>& ids) {
    std::vector<Sequence> going_on;
    for (size_t i = 0; i < active_.size(); ++i) {
      const auto slot = static_cast<size_t>(active_[i].slot);
      const Decoding& decoding = requests_[slot].decoding;
      Answer& answer = answers_[slot];
      answer.ids.push_back(ids[i]);
      const bool ended = std::ranges::find(decoding.eos, ids[i]) != decoding.eos.end();
      const bool full = static_cast<int64_t>(answer.ids.size()) >= decoding.max_new_tokens;
      if (!ended && !full) going_on.push_back(active_[i]);
    }
    active_ = std::move(going_on);
  }

  std::vector<int64_t> last_ids() const {
    std::vector<int64_t> ids;
    for (const Sequence& s : active_)
      ids.push_back(answers_[static_cast<size_t>(s.slot)].ids.back());
    return ids;
  }

  const std::vector<Sequence>& active() const { return active_; }
  std::vector<Answer>& answers() { return answers_; }

 private:
  std::span<const Request> requests_;
  std::vector<Sequence> active_;
  std::vector<Answer> answers_;
};

void share_out_seconds(std::vector<Answer>& answers, std::span<const Request> requests,
                       Seconds prefill_s, Seconds decode_s) {
  double prompt_tokens = 0, output_tokens = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    prompt_tokens += static_cast<double>(requests[i].prompt.size());
    output_tokens += static_cast<double>(answers[i].ids.size());
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    answers[i].prefill_s =
        prefill_s * static_cast<double>(requests[i].prompt.size()) / prompt_tokens;
    answers[i].decode_s = decode_s * static_cast<double>(answers[i].ids.size()) / output_tokens;
  }
}

}  // namespace

std::vector<Answer> generate(const Decoder& model, std::span<const Request> requests) {
  if (requests.empty()) return {};
  const Stopwatch prefill_watch;
  std::vector<int64_t> capacity;
  for (const Request& request : requests) {
    if (request.decoding.max_new_tokens <= 0) {
      fail(Exit::kInternal, "A request for {} new tokens.", request.decoding.max_new_tokens);
    }
    capacity.push_back(static_cast<int64_t>(request.prompt.size()) +
                       request.decoding.max_new_tokens);
  }
  KvCache cache(model.config(), capacity, model.options());
  Pass pass{.sequences = prefill_sequences(requests), .cache = &cache};
  const LayerRange all{0, model.config().layers};
  at::Tensor x = model.layers(model.embed(packed_ids(requests)), all, pass);
  Decodes decodes(requests, pass.sequences);
  decodes.take(greedy(model.logits(last_rows(x, pass.sequences))));
  const Seconds prefill_s = prefill_watch.elapsed_s();

  const Stopwatch decode_watch;
  while (!decodes.active().empty()) {
    pass.sequences = decodes.active();
    x = model.layers(model.embed(decodes.last_ids()), all, pass);
    decodes.take(greedy(model.logits(x)));
  }
  share_out_seconds(decodes.answers(), requests, prefill_s, decode_watch.elapsed_s());
  return std::move(decodes.answers());
}

std::shared_ptr<const Context> read_context(const Decoder& model,
                                            std::span<const std::vector<int64_t>> sequences,
                                            const Observer& observer) {
  auto context = std::make_shared<Context>();
  context->layers.resize(static_cast<size_t>(model.config().layers));
  std::vector<int64_t> ids;
  Pass pass;
  for (const std::vector<int64_t>& sequence : sequences) {
    ids.insert(ids.end(), sequence.begin(), sequence.end());
    context->rows.push_back(static_cast<int64_t>(sequence.size()));
    pass.sequences.push_back({.tokens = context->rows.back()});
  }
  const Observer keep{.after_layer = [&](int64_t layer, const LayerKv& kv) {
    context->layers[static_cast<size_t>(layer)] = kv;
    if (observer.after_layer) observer.after_layer(layer, kv);
  }};
  pass.observer = &keep;
  model.layers(model.embed(ids), {0, model.config().layers}, pass);
  return context;
}

std::vector<std::vector<double>> context_importance(const Decoder& model,
                                                    std::span<const Request> requests) {
  std::vector<std::vector<double>> importance(requests.size());
  Pass pass{.sequences = prefill_sequences(requests)};
  const Observer observer{.context_share = [&](int64_t, const at::Tensor& share) {
    int64_t begin = 0;
    for (size_t i = 0; i < pass.sequences.size(); ++i) {
      const int64_t tokens = pass.sequences[i].tokens;
      importance[i].push_back(share.narrow(0, begin, tokens).to(at::kDouble).mean().item<double>());
      begin += tokens;
    }
  }};
  pass.observer = &observer;
  model.layers(model.embed(packed_ids(requests)), {0, model.config().layers}, pass);
  return importance;
}

}  // namespace kvcomm
