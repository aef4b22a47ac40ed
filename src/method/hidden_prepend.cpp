// Hidden-state prepending, a study of the paper (its figures 3 and 10): do all tokens' activations
// at one layer work as the message?
//
//   sender                                          receiver
//   read(C) below layer k ── all its tokens' x ──▶  answer(Q), which from the input of layer j on
//                                                   stands behind the sender's rows
//
// Layer k's input is after k layers; 0 is the embeddings. From layer j on the receiver works on
// [the sender's rows ; the question's], the context at positions 0 .. |C|-1 and the question behind
// it; below j there is the question alone, whose positions may then begin anywhere, as rotary ones
// are relative. No row of the context sees the question, so the context's rows go first, by
// themselves: the question then meets their keys and values, as with KVComm.
#include <ATen/ATen.h>

#include "base/error.h"
#include "method/hidden.h"
#include "method/method.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

class HiddenPrepend : public Method {
 public:
  HiddenPrepend(int64_t k, int64_t j) : k_(k), j_(j) {}

  std::vector<ScriptMessage> script(size_t /*sender*/) const override {
    return {{PayloadKind::kHidden, {static_cast<int>(k_)}}};
  }

  void send(Batch& batch, SendEnd& wire) const override {
    const std::vector<int64_t> tokens = batch.context_tokens();
    OutgoingMessage message = wire.offer(rows_header(batch, {.kind = PayloadKind::kHidden,
                                                             .layer = static_cast<int>(k_),
                                                             .rows = tokens,
                                                             .context_tokens = tokens}));
    const Batch::Hidden& hidden = batch.hidden_of_all(k_);
    message.put(hidden.rows);
    message.close(hidden.times);
  }

  std::vector<Request> receive(Batch& batch, std::span<ReceiveEnd* const> wires) const override {
    const auto rows = receive_rows(batch, PayloadKind::kHidden, wires).front();
    const std::shared_ptr<const Context> context = batch.read_from(rows, j_);
    const auto layers = static_cast<size_t>(batch.agent().model->config().layers);
    std::vector<Request> requests;
    for (size_t i = 0; i < batch.size(); ++i) {
      requests.push_back({.prompt = {batch.prompt_builder().receiver(batch.sample(i))},
                          .past = {{context, static_cast<int>(i)}},
                          .own = std::vector<OwnTokens>(layers, {.start = rows[i].size(0)})});
    }
    return requests;
  }

 private:
  int64_t k_, j_;
};

// ---- what it is

Profile profile(const MethodSpec& spec, const Fidelity& /*fidelity*/) {
  Profile profile = hidden_profile();
  if (spec.resolved.at("k").is_null()) return profile;  // it stands for a grid
  profile.sender_layers = spec.resolved.at("k").get<int64_t>();
  profile.joined_at = spec.resolved.at("j").get<int64_t>();
  return profile;
}

std::string complaint(const nlohmann::ordered_json& set) {
  const bool k = set.contains("k"), j = set.contains("j"), every = set.contains("every");
  if (every && (k || j)) {
    return fmt::format("hidden_prepend has both {} and every; leave one out.", k ? "k" : "j");
  }
  if (every || (k && j)) return "";
  return fmt::format(
      "hidden_prepend has no '{}'; give k and j, or every for a grid of both in such steps.",
      k ? "j" : "k");
}

std::vector<MethodSpec> expand(const MethodSpec& spec, int64_t layers) {
  const auto step = spec.set["every"].get<int64_t>();
  std::vector<MethodSpec> cells;
  for (int64_t k = 0; k < layers; k += step) {
    for (int64_t j = 0; j < layers; j += step) {
      cells.push_back(with(spec, "every", {{"k", k}, {"j", j}}));
    }
  }
  return cells;
}

WireCost cost(const MethodSpec& /*spec*/, const ModelConfig& model, int64_t element,
              const Fidelity& /*fidelity*/) {
  return {.per_context_token = model.hidden * element};
}

std::unique_ptr<Method> make(const MethodSpec& spec, std::span<const int> /*chosen*/,
                             int64_t /*model_layers*/, const Fidelity& /*fidelity*/) {
  return std::make_unique<HiddenPrepend>(spec.resolved.at("k"), spec.resolved.at("j"));
}

}  // namespace

MethodType hidden_prepend_type() {
  using enum ParameterType;
  MethodType type = hidden_type();
  type.name = "hidden_prepend";
  type.summary = "all context tokens at layer k stand in front of the question from layer j on";
  type.crosses = "hidden states";
  type.form = "context tokens x hidden x element";
  type.parameters = {
      {"k", kInteger, nullptr, "the sender's layer whose input is sent", {}, kLayer},
      {"j", kInteger, nullptr, "the receiver's layer at whose input it goes in", {}, kLayer},
      {.name = "every",
       .type = kInteger,
       .default_value = nullptr,
       .meaning = "a cell for each k and j that are multiples of it",
       .range = kCount,
       .expands = true}};
  type.example = {{"k", 0}, {"j", 0}};
  type.axes = {"j", "k"};
  type.profile = profile;
  type.complaint = complaint;
  type.expand = expand;
  type.cost = cost;
  type.make = make;
  return type;
}

}  // namespace kvcomm
