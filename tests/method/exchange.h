// Every method that the program knows, with a tiny pair of agents and a few samples to run it on,
// and what its ledger must show.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "method/method.h"
#include "tests/comm/loopback_pipe.h"
#include "tests/method/tiny_model.h"
#include "tests/support/device.h"

namespace kvcomm::testing {

// Each kind with its defaults, and the variants that change what crosses the wire or who answers.
inline std::vector<MethodSpec> method_variants() {
  using Json = nlohmann::ordered_json;
  std::vector<MethodSpec> specs;
  for (const MethodType& type : methods()) {
    Json set = Json::object();
    if (type.name == "contiguous") set = {{"from", 1}, {"to", 2}};
    if (type.name == "ac") set = {{"k", 2}, {"j", 1}};
    if (type.name == "nld" || type.name == "cipher") set = {{"phase1_tokens", 6}};
    if (type.name == "hidden_prepend") set = {{"k", 2}, {"j", 1}};
    if (type.name == "token_study") set = {{"layer", 1}, {"answer", "text"}};
    specs.push_back(make_method_spec(type, set, 42));
  }
  const auto add = [&](const char* name, const Json& set) {
    specs.push_back(make_method_spec(*find_method(name), set, 42));
  };
  add("baseline", {{"model", "sender"}});
  add("skyline", {{"model", "sender"}});
  add("kvcomm", {{"ratio", 0.01}});
  add("kvcomm", {{"ratio", 1.0}});
  add("kvcomm", Json{{"layers", std::vector<int>{0, 3}}});
  add("ac", {{"f", "sum"}, {"k", 0}, {"j", 3}});
  add("ac", {{"f", "mean"}, {"k", 3}, {"j", 0}});
  add("hidden_prepend", {{"k", 0}, {"j", 3}});
  add("token_study", {{"layer", 3}, {"mode", "remove"}, {"answer", "text"}, {"model", "sender"}});
  add("nld", {{"phase1_tokens", 3}, {"sender_aware", true}});
  return specs;
}

// The two agents of one process, on samples of unequal length.
class TinyPair {
 public:
  explicit TinyPair(at::ScalarType dtype = at::kFloat, const Fidelity& fidelity = Fidelity::paper())
      : fidelity_(fidelity) {
    make_tiny_model(folder_.path() / "model");
    const auto text = std::make_shared<const Text>(Text{
        Tokenizer::load(folder_.path() / "model"), ChatTemplate::load(folder_.path() / "model")});
    agent_ = {std::make_shared<const Decoder>(folder_.path() / "model", dtype, test_device()),
              text};
    prompt_builder_ = std::make_unique<PromptBuilder>(
        Prompts::built_in(), text,
        PromptBuilder::Options{.dataset = "demo", .kind = "qa", .date = "2024-07-26"});
    terms_.emplace(Terms{.prompt_builder = *prompt_builder_,
                         .fidelity = fidelity_,
                         .max_new_tokens = 5,
                         .sender_eos = {{}, {}}});
    const char* const contexts[] = {"The ship came in.", "A storm.",
                                    "The children ran over the bridge to the other side, 12 of 37"};
    const char* const others[] = {"12 of 37 ships.", "Before the storm came in.", "A bridge."};
    for (uint32_t i = 0; i < 3; ++i) {
      samples_.push_back({.index = 5 + 2 * i,
                          .id = "s" + std::to_string(i),
                          .contexts = {contexts[i], others[i]},
                          .question = "What came in before " + std::to_string(i) + "?",
                          .answers = {"ship"}});
    }
  }

  Batch batch(size_t sender = 0) const {
    std::vector<const Sample*> chosen;
    for (const Sample& sample : samples_) chosen.push_back(&sample);
    return Batch(agent_, *terms_, chosen, sender);
  }
  const Decoder& model() const { return *agent_.model; }
  const Agent& agent() const { return agent_; }

  std::unique_ptr<Method> method(const MethodSpec& spec) const {
    return make_method(spec, layers_of(spec), model().config().layers, fidelity_);
  }

  std::vector<int> layers_of(const MethodSpec& spec) const {
    if (!shares_layers(spec)) return {};
    const std::vector<double> importance{0.4, 0.1, 0.3, 0.2};
    return type_of(spec).choose(spec, importance, 4, fidelity_).layers();
  }

  // What the script and the closed forms say the ledger's trace is.
  std::vector<Ledger::Entry> declared(const MethodSpec& spec, const ExchangeId& id,
                                      size_t sender = 0) const {
    std::vector<Ledger::Entry> entries;
    for (const ScriptMessage& step : method(spec)->script(sender)) {
      entries.push_back({step.kind, id.cell, step.layers, payload(spec, step.kind, sender)});
    }
    return entries;
  }

  // The closed form of a kind's bytes (design, section 10; `kvcomm ls methods`).
  uint64_t payload(const MethodSpec& spec, PayloadKind kind, size_t sender = 0) const {
    const ModelConfig& config = model().config();
    const auto element = static_cast<int64_t>(model().options().dtype().itemsize());
    Batch reader = batch(sender);
    const auto samples = static_cast<int64_t>(reader.size());
    int64_t tokens = 0;
    for (const auto& ids : reader.context_ids()) tokens += std::ssize(ids);
    if (kind == PayloadKind::kHidden) {
      const int64_t rows = spec.name == "ac" ? samples : tokens;
      return static_cast<uint64_t>(rows * config.hidden * element);
    }
    if (kind == PayloadKind::kTokens || kind == PayloadKind::kVectors) {
      const int64_t a_row = kind == PayloadKind::kTokens ? 4 : config.hidden * element;
      return static_cast<uint64_t>(rows_said(spec, sender) * a_row);
    }
    std::set<int> whole;
    for (const int layer : layers_of(spec)) whole.insert(layer);
    if (fidelity_.keep_layer0) whole.insert(0);
    // The first token of the whole context is the first sender's.
    const int64_t others =
        fidelity_.sink_token && sender == 0 ? config.layers - std::ssize(whole) : 0;
    return static_cast<uint64_t>(2 * config.kv_heads * config.head_dim * element *
                                 (std::ssize(whole) * tokens + others * samples));
  }

  // How many ids or vectors the sender of a debate generates.
  int64_t rows_said(const MethodSpec& spec, size_t sender) const {
    std::vector<Request> questions;
    const bool aware = spec.resolved.at("sender_aware");
    for (const Sample& sample : samples_) {
      questions.push_back({.prompt = {prompt_builder_->sender(
                               sample, sender, aware ? Reading::kSummarise : Reading::kSay)}});
    }
    const int64_t most = spec.resolved.at("phase1_tokens");
    int64_t rows = 0;
    if (spec.name == "cipher") {
      for (const VectorAnswer& said :
           generate_vectors(model(), questions, {.max_steps = most, .eos = *agent_.text->eos()})) {
        rows += said.vectors.size(0);
      }
      return rows;
    }
    for (Request& question : questions) {
      question.decoding = make_decoding(model().config(), GeneratedBy::kModel, fidelity_, most);
    }
    for (const Answer& said : generate(model(), questions)) rows += std::ssize(said.ids);
    return rows;
  }

  // The answers' ids.
  std::vector<std::vector<int64_t>> answers(std::vector<Request> requests) const {
    for (Request& request : requests) request.decoding = {.max_new_tokens = 5, .eos = {2, 3}};
    std::vector<std::vector<int64_t>> ids;
    for (const Answer& answer : generate(model(), requests)) ids.push_back(answer.ids);
    return ids;
  }

 private:
  Fidelity fidelity_;
  TemporaryFolder folder_;
  Agent agent_;
  std::unique_ptr<PromptBuilder> prompt_builder_;
  std::optional<Terms> terms_;
  std::vector<Sample> samples_;
};

// One exchange as the lane runs it, as far as this process has the ends: null is the other one's.
struct Exchange {
  std::vector<Request> requests;
  std::vector<ReceivedSample> arrivals;
};
// outgoing: one a sender; incoming: likewise, or none.
inline Exchange exchange(const Method& method, const TinyPair& pair, const ExchangeId& id,
                         const std::vector<SendEnd*>& outgoing,
                         const std::vector<ReceiveEnd*>& incoming) {
  const bool sends = !method.script(/*sender=*/0).empty();
  for (size_t sender = 0; sender < outgoing.size(); ++sender) {
    if (outgoing[sender] == nullptr || !sends) continue;
    Batch sent = pair.batch(sender);
    sent.begin(id);
    method.send(sent, *outgoing[sender]);
  }
  if (incoming.empty()) return {};
  Batch received = pair.batch();
  received.begin(id);
  const std::vector<ReceiveEnd*> wires = sends ? incoming : std::vector<ReceiveEnd*>{};
  std::vector<Request> requests = method.receive(received, wires);
  return {std::move(requests), received.arrivals};
}

inline Exchange exchange(const Method& method, const TinyPair& pair, const ExchangeId& id,
                         SendEnd* outgoing, ReceiveEnd* incoming) {
  return exchange(
      method, pair, id, std::vector<SendEnd*>{outgoing},
      incoming == nullptr ? std::vector<ReceiveEnd*>{} : std::vector<ReceiveEnd*>{incoming});
}

}  // namespace kvcomm::testing

// Shown by GoogleTest where two traces differ.
namespace kvcomm {
inline void PrintTo(const Ledger::Entry& entry, std::ostream* out) {
  *out << name(entry.kind) << " of cell " << entry.cell << ", layers "
       << ::testing::PrintToString(entry.layers) << ", " << entry.payload << " bytes";
}
}  // namespace kvcomm
