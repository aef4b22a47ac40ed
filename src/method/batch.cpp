#include "method/batch.h"

namespace kvcomm {

Batch::Batch(const Agent& agent, const Prompter& prompter, std::span<const Sample* const> samples,
             size_t sender)
    : agent_(agent),
      prompter_(prompter),
      samples_(samples.begin(), samples.end()),
      sender_(sender) {}

void Batch::begin(const Turn& turn) {
  turn_ = turn;
  arrivals.clear();
}

const std::vector<std::vector<int64_t>>& Batch::context_ids() {
  if (context_ids_.empty()) {
    std::vector<std::vector<int64_t>> ids;  // all or none: a prompt that is too long throws
    for (const Sample* sample : samples_) ids.push_back(prompter_.sender(*sample, sender_));
    context_ids_ = std::move(ids);
  }
  return context_ids_;
}

const Context& Batch::context(const Observer& observer) {
  if (context_ != nullptr) {
    for (size_t layer = 0; observer.after_layer && layer < context_->layers.size(); ++layer) {
      observer.after_layer(static_cast<int64_t>(layer), context_->layers[layer]);
    }
    return *context_;
  }
  const std::vector<std::vector<int64_t>>& ids = context_ids();
  const Stopwatch watch;
  context_ = read_context(*agent_.model, ids, observer);
  times_ = {.prefill_s = watch.elapsed_s(), .prefill_ended_at_s = now_s()};
  return *context_;
}

}  // namespace kvcomm
