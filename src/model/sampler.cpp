#include "model/sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "model/prefill.h"
#include "ops/weighted_sum.h"

namespace kvcomm {

namespace {

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

// Leaves nothing of a row's logits but those of the choices.
void keep_choices(at::Tensor row, std::span<const int64_t> choices) {
  const at::Tensor ids = at::tensor(at::ArrayRef(choices.data(), choices.size()), at::kLong);
  const at::Tensor on_device = ids.to(row.device());
  const at::Tensor kept = row.index_select(0, on_device);
  row.fill_(-std::numeric_limits<double>::infinity());
  row.index_copy_(0, on_device, kept);
}

// CIPHER's step for each row of logits: the emitted vector [rows, hidden], in the table's type.
at::Tensor mean_embedding(const Decoder& model, const at::Tensor& logits, double temperature) {
  constexpr double kColdest = 1e-6;  // as in the release; scores would overflow below it
  const at::Tensor weights = at::softmax(logits / std::max(temperature, kColdest), 1);
  return ops::weighted_sum(weights.to(model.embeddings().scalar_type()), model.embeddings());
}

}  // namespace

Taken GreedySampler::take(at::Tensor logits, std::span<const Part> active) {
  for (size_t i = 0; i < active.size(); ++i) {
    const auto slot = static_cast<size_t>(active[i].slot);
    const at::Tensor row = logits[static_cast<int64_t>(i)];
    if (requests_[slot].choices.empty()) {
      penalise(row, requests_[slot], answers_[slot]);
    } else {
      keep_choices(row, requests_[slot].choices);
    }
  }
  const Best best = best_of(logits);
  Taken taken;
  std::vector<int64_t> rows;
  for (size_t i = 0; i < active.size(); ++i) {
    const auto slot = static_cast<size_t>(active[i].slot);
    const Decoding& decoding = requests_[slot].decoding;
    answers_[slot].ids.push_back(best.ids[i]);
    const bool ended = !requests_[slot].choices.empty() ||
                       std::ranges::find(decoding.eos, best.ids[i]) != decoding.eos.end();
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

Taken VectorSampler::take(const at::Tensor& logits, std::span<const Part> active) {
  model_.count(table_flops(model_.config(), 2 * logits.size(0)));  // the mean, and the nearest
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

std::vector<VectorAnswer> VectorSampler::answers() const {
  std::vector<VectorAnswer> answers;
  for (const auto& vectors : emitted_) {
    answers.push_back({.vectors = vectors.empty()
                                      ? at::empty({0, model_.config().hidden}, model_.options())
                                      : at::stack(vectors)});
  }
  return answers;
}

}  // namespace kvcomm
