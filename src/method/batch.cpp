#include "method/batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "model/device_watch.h"

namespace kvcomm {

Batch::Batch(const Agent& agent, const Terms& terms, std::span<const Sample* const> samples,
             size_t sender)
    : agent_(agent), terms_(terms), samples_(samples.begin(), samples.end()), sender_(sender) {}

void Batch::begin(const ExchangeId& exchange) {
  exchange_ = exchange;
  arrivals.clear();
  generated_.assign(size(), {});
}

// How many of a prompt's first ids are the beginning of others too; at least one is left.
int64_t Batch::head_of(std::span<const int64_t> prompt) const {
  int64_t longest = 0;
  for (const auto& head : terms_.heads) {
    longest = std::max(longest, std::ranges::mismatch(head, prompt).in1 - head.begin());
  }
  return std::clamp<int64_t>(std::ssize(prompt) - 1, 0, longest);
}

Heads Batch::heads_of(std::span<const std::vector<int64_t>> prompts) const {
  Heads heads{.prefixes = agent().prefixes.get()};
  for (const auto& prompt : prompts) heads.lengths.push_back(head_of(prompt));
  return heads;
}

const std::vector<std::vector<int64_t>>& Batch::context_ids() {
  if (context_ids_.empty()) {
    std::vector<std::vector<int64_t>> ids;  // all or none: a prompt that is too long throws
    for (const Sample* sample : samples_) ids.push_back(prompt_builder().sender(*sample, sender_));
    context_ids_ = std::move(ids);
  }
  return context_ids_;
}

std::vector<int64_t> Batch::context_tokens() {
  std::vector<int64_t> tokens;
  for (const auto& ids : context_ids()) tokens.push_back(std::ssize(ids));
  return tokens;
}

// Attends to the rest between layers. attended_s: the seconds that are not the model's work; a GPU
// goes on meanwhile.
Observer Batch::attentive(const Observer& observer, Seconds& attended_s) const {
  const bool on_host = agent().model->options().device().is_cpu();
  return {.on_kv = [this, &observer, &attended_s, on_host](int64_t layer, const LayerKv& kv) {
    const Stopwatch attending;
    if (observer.on_kv) observer.on_kv(layer, kv);
    meanwhile(Phase::kPrefill);
    if (on_host) attended_s += attending.elapsed_s();
  }};
}

template <typename Read>
SenderTimes Batch::timed(const Observer& observer, Read&& read) {
  const double joules_before = joules();
  const DeviceWatch watch(agent().model->options().device());
  Seconds attended_s = 0;
  read(attentive(observer, attended_s));
  const SenderTimes times{.prefill_s = watch.elapsed_s() - attended_s,
                          .joules = joules() - joules_before,
                          .work_ended_at_s = now_s()};
  ran_.prefill_s += times.prefill_s;
  return times;
}

const Context& Batch::context(const Observer& observer) {
  if (context_ != nullptr) {
    for (size_t layer = 0; observer.on_kv && layer < context_->layers.size(); ++layer) {
      observer.on_kv(static_cast<int64_t>(layer), context_->layers[layer].kv);
    }
    return *context_;
  }
  const std::vector<std::vector<int64_t>>& ids = context_ids();
  context_times_ = timed(observer, [&](const Observer& attentive) {
    context_ = read_context(*agent().model, ids, attentive, heads_of(ids));
  });
  return *context_;
}

template <typename Make>
const Batch::Hidden& Batch::hidden_by(std::map<int64_t, Hidden>& known, int64_t layer,
                                      Make&& make) {
  const auto found = known.find(layer);
  if (found != known.end()) return found->second;
  const std::vector<std::vector<int64_t>>& ids = context_ids();
  Hidden hidden;
  hidden.times = timed({}, [&](const Observer& attentive) { hidden.rows = make(ids, attentive); });
  return known.emplace(layer, std::move(hidden)).first->second;
}

const Batch::Hidden& Batch::hidden(int64_t layer) {
  return hidden_by(hidden_, layer, [&](const auto& ids, const Observer& observer) {
    return last_hidden(*agent().model, ids, layer, observer, heads_of(ids));
  });
}

const Batch::Hidden& Batch::hidden_of_all(int64_t layer) {
  std::erase_if(hidden_of_all_, [&](const auto& known) { return known.first != layer; });
  return hidden_by(hidden_of_all_, layer, [&](const auto& ids, const Observer& observer) {
    return hidden_states(*agent().model, ids, layer, observer);
  });
}

std::shared_ptr<const Context> Batch::read_from(std::span<const at::Tensor> rows, int64_t layer) {
  std::vector<int64_t> tokens;
  double all = 0;
  for (const at::Tensor& of_sample : rows) {
    tokens.push_back(of_sample.size(0));
    all += static_cast<double>(tokens.back());
  }
  const at::Tensor x = at::cat(at::TensorList(rows.data(), rows.size()));
  std::shared_ptr<const Context> context;
  const SenderTimes times = timed(
      {}, [&](const Observer&) { context = kvcomm::read_from(*agent().model, x, tokens, layer); });
  for (size_t i = 0; i < tokens.size(); ++i) {
    const double share = static_cast<double>(tokens[i]) / all;
    generated_[i].prefill_s += share * times.prefill_s;
    generated_[i].joules += share * times.joules;
  }
  return context;
}

double Batch::joules() const {
  return agent().energy == nullptr ? std::numeric_limits<double>::quiet_NaN()
                                   : agent().energy->joules();
}

Generation Batch::generation() const {
  return {.prefixes = agent().prefixes.get(),
          .between_steps = [this] { meanwhile(Phase::kDecode); }};
}

namespace {

int64_t tokens_of(const Answer& answer) { return std::ssize(answer.ids); }
int64_t tokens_of(const VectorAnswer& answer) { return answer.vectors.size(0); }

}  // namespace

template <typename Generate>
auto Batch::answer_by(std::span<const Request> requests, Generate&& generate) {
  std::vector<Request> asked;
  std::vector<size_t> places;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!arrivals.empty() && !arrivals[i].failure.empty()) continue;
    asked.push_back(requests[i]);
    places.push_back(i);
    const std::optional<Edit>& edit = requests[i].edit;
    const bool reads_alike = asked.back().past.empty() && (!edit || edit->last_row_alone);
    if (reads_alike) asked.back().head = head_of(requests[i].prompt.ids);
  }
  const double joules_before = joules();
  auto said = generate(asked);
  const double all_joules = joules() - joules_before;
  Seconds all_s = 0;
  for (const auto& answer : said) all_s += answer.prefill_s + answer.decode_s;
  decltype(said) answers(requests.size());
  for (size_t i = 0; i < said.size(); ++i) {
    const Seconds own_s = said[i].prefill_s + said[i].decode_s;
    Work& work = generated_[places[i]];
    work.input_tokens += static_cast<int64_t>(asked[i].prompt.size());
    work.output_tokens += tokens_of(said[i]);
    work.prefill_s += said[i].prefill_s;
    work.decode_s += said[i].decode_s;
    work.joules += all_s == 0 ? 0 : all_joules * own_s / all_s;
    ran_.prefill_s += said[i].prefill_s;
    ran_.decode_s += said[i].decode_s;
    answers[places[i]] = std::move(said[i]);
  }
  return answers;
}

std::vector<Answer> Batch::answer(std::span<const Request> requests) {
  return answer_by(requests, [&](const std::vector<Request>& asked) {
    return generate(*agent().model, asked, generation());
  });
}

std::vector<VectorAnswer> Batch::answer(std::span<const Request> requests,
                                        const VectorDecoding& decoding) {
  return answer_by(requests, [&](const std::vector<Request>& asked) {
    return generate_vectors(*agent().model, asked, decoding, generation());
  });
}

Decoding Batch::decoding(GeneratedBy by, int64_t max_new_tokens) const {
  return make_decoding(agent().model->config(), by, fidelity(), max_new_tokens);
}

}  // namespace kvcomm
