// KVComm: the sender shares the keys and values of a few layers.
//
//   sender                                receiver
//   read(C) ── kv of chosen layers ──▶    answer(Q | kv)
//
// In a chosen layer the receiver attends to [the sender's kv ; its own]; its tokens stand at |C|..
// in every layer (method.md, "Setting"). Random and Contiguous differ in who chooses the layers, in
// nothing else; KVComm-S moves the receiver's tokens back to the start in layers that were not
// chosen. In the release's fidelity layer 0 always goes, and of layers not chosen the first token
// (official_behaviour.md, 2 and 3). Only then does KVComm-S differ from KVComm by more than
// rounding: rotary positions are relative, and where nothing precedes the receiver's tokens a shift
// of all of them changes no distance.
#include <algorithm>

#include "base/error.h"
#include "method/control.h"
#include "method/method.h"
#include "method/sharing.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

class KvComm : public Method {
 public:
  KvComm(Sharing sharing, Start start) : sharing_(std::move(sharing)), start_(start) {}

  std::vector<ScriptMessage> script(size_t sender) const override {
    std::vector<int> layers;
    std::ranges::merge(sharing_.full_layers, first_rows(sender), std::back_inserter(layers));
    return {{PayloadKind::kKv, std::move(layers)}};
  }

  void send(Batch& batch, SendEnd& wire) const override {
    // It is offered before the work: the receiver gets ready meanwhile.
    const std::span<const int> first_rows = this->first_rows(batch.sender());
    OutgoingMessage message = wire.offer(kv_header(batch, sharing_.full_layers, first_rows));
    const Observer put{.on_kv = [&](int64_t index, const LayerKv& kv) {
      const int layer = static_cast<int>(index);
      const bool first = std::ranges::binary_search(first_rows, layer);
      if (!first && !std::ranges::binary_search(sharing_.full_layers, layer)) return;
      const LayerKv sent = first ? first_rows_of(kv, batch.context_ids()) : kv;
      message.put(sent.k);
      message.put(sent.v);
    }};
    batch.context(put);
    message.close(batch.context_times());
  }

  std::vector<Request> receive(Batch& batch, std::span<ReceiveEnd* const> wires) const override {
    const auto contexts = receive_contexts(batch, wires);
    std::vector<Request> requests;
    for (size_t i = 0; i < batch.size(); ++i) {
      Request request{.prompt = {batch.prompt_builder().receiver(batch.sample(i))}};
      int64_t context_tokens = 0;
      for (const auto& context : contexts) {
        request.past.push_back({context, static_cast<int>(i)});
        context_tokens += context->tokens[i];
      }
      request.own = own_tokens(batch, context_tokens);
      requests.push_back(std::move(request));
    }
    return requests;
  }

 private:
  // Layers of which a sender's first token goes: it is the first of the whole context, or none
  // (official_behaviour.md, 13).
  std::span<const int> first_rows(size_t sender) const {
    return sender == 0 ? std::span<const int>(sharing_.first_rows) : std::span<const int>();
  }

  // Where the receiver's tokens stand in each layer, behind a context of so many.
  std::vector<OwnTokens> own_tokens(const Batch& batch, int64_t context_tokens) const {
    const Fidelity& fidelity = batch.fidelity();
    const OwnTokens behind{.start = context_tokens};
    OwnTokens unselected = behind;
    if (start_ == Start::kShifted) {
      unselected.start = fidelity.shifted_start;
    } else if (fidelity.unselected_prefill == UnselectedPrefill::kFirstColumns) {
      // Its mask has |C| + |Q| columns, of which such a layer reads the first: [first row ; own].
      const int64_t first_rows = sharing_.first_rows.empty() ? 0 : 1;
      unselected.lookahead = context_tokens - first_rows;
    }
    std::vector<OwnTokens> layers(static_cast<size_t>(batch.agent().model->config().layers),
                                  unselected);
    for (const int layer : sharing_.full_layers) layers[static_cast<size_t>(layer)] = behind;
    return layers;
  }

  Sharing sharing_;
  Start start_;
};

// ---- what it is

std::vector<Parameter> parameters() {
  using enum ParameterType;
  return {ratio_parameter(),
          {.name = "layer_count",
           .type = kInteger,
           .default_value = nullptr,
           .meaning = "so many layers, in the ratio's place",
           .range = kCount,
           .in_place_of = "ratio"},
          {.name = "layer_counts",
           .type = kText,
           .default_value = nullptr,
           .meaning = "a cell for each layer_count from 1 on",
           .choices = {"all"},
           .in_place_of = "ratio",
           .expands = true},
          {"alpha", kReal, 1.0, "weight of importance against the prior", {}, kFraction},
          {"mu", kReal, 0.5, "the prior's centre, a fraction of depth"},
          {"sigma", kReal, 10.0, "the prior's width in layers", {}, kPositive},
          {.name = "first_rank",
           .type = kInteger,
           .default_value = 0,
           .meaning = "the best so many layers are passed over",
           .range = kLayer,
           .young = true},
          {"calibration_samples", kInteger, 1, "importance is averaged over them", {}, {.from = 1}},
          {.name = "layers",
           .type = kLayers,
           .default_value = nullptr,
           .meaning = "the layers to send, by hand",
           .range = kLayer,
           .in_place_of = "ratio"},
          {.name = "calibration",
           .type = kText,
           .default_value = "evaluated",
           .meaning = "its samples: scored as well, or held out",
           .choices = {"evaluated", "held_out"},
           .young = true},
          {.name = "recalibrate_every",
           .type = kInteger,
           .default_value = 0,
           .meaning = "every so many samples the layers are chosen anew, by one; 0: once",
           .range = {.from = 0, .to = kMost},
           .young = true}};
}

// Online calibration measures one sample at a time, and nothing that a user could have meant
// otherwise is passed over.
std::string complaint(const nlohmann::ordered_json& set) {
  if (set.contains("layers") && set.contains("calibration")) {
    return "calibration says whose importances choose the layers, which are given by hand; leave "
           "one out.";
  }
  if (set.contains("layers") && set.contains("first_rank")) {
    return "first_rank passes over the best layers, which are given by hand; leave one out.";
  }
  if (set.value("recalibrate_every", 0) == 0) return "";
  for (const char* other : {"layers", "calibration_samples", "calibration"}) {
    if (!set.contains(other)) continue;
    return fmt::format(
        "recalibrate_every chooses layers anew by one sample, and {} says otherwise; "
        "leave one out.",
        other);
  }
  return "";
}

LayerChoice choose(const MethodSpec& spec, std::span<const double> importance, int layers,
                   const Fidelity& fidelity) {
  const auto& value = spec.resolved;
  if (!value.at("layers").is_null()) {
    return choose_given(value.at("layers").get<std::vector<int>>(), layers);
  }
  const Prior prior{.alpha = value.at("alpha"), .mu = value.at("mu"), .sigma = value.at("sigma")};
  const int first = value.at("first_rank");
  if (!value.at("layer_count").is_null()) {
    return choose_best(importance, value.at("layer_count"), prior, fidelity, first);
  }
  return choose_by_importance(importance, value.at("ratio"), prior, fidelity, first);
}

// Each number of layers.
std::vector<MethodSpec> expand(const MethodSpec& spec, int64_t layers) {
  std::vector<MethodSpec> cells;
  for (int64_t count = 1; count <= layers; ++count) {
    cells.push_back(with(spec, "layer_counts", {{"layer_count", count}}));
  }
  return cells;
}

Profile ranked_profile(const MethodSpec& spec, Start start, const Fidelity& fidelity) {
  Profile profile = kv_profile(spec, start);
  if (!spec.resolved.at("layers").is_null()) return profile;
  profile.fidelity.emplace_back("prior");
  profile.recalibrate_every = spec.resolved.at("recalibrate_every");
  if (profile.recalibrate_every > 0) {
    // What a control replaces is none of a recalibration's.
    profile.scores_recalibrations =
        fidelity.recalibration_scored && control_of(spec) == Control::kNone;
    profile.fidelity.insert(profile.fidelity.end(),
                            {"importance_from", "importance_mask", "recalibration_scored"});
  } else {
    profile.calibration_samples = spec.resolved.at("calibration_samples");
    profile.held_out = spec.resolved.at("calibration") == "held_out";
  }
  return profile;
}

Profile profile(const MethodSpec& spec, const Fidelity& fidelity) {
  return ranked_profile(spec, Start::kBehind, fidelity);
}

Profile shifted_profile(const MethodSpec& spec, const Fidelity& fidelity) {
  return ranked_profile(spec, Start::kShifted, fidelity);
}

std::unique_ptr<Method> make_shifted(const MethodSpec& /*spec*/, std::span<const int> chosen,
                                     int64_t model_layers, const Fidelity& fidelity) {
  return make_kv_sharing(make_sharing(chosen, model_layers, fidelity), Start::kShifted);
}

}  // namespace

std::unique_ptr<Method> make_kv_sharing(Sharing sharing, Start start) {
  return std::make_unique<KvComm>(std::move(sharing), start);
}

MethodType kvcomm_type() {
  MethodType type = kv_type();
  type.name = "kvcomm";
  type.summary = "the layers that the receiver attends to most, near the prior's centre";
  type.parameters = parameters();
  type.profile = profile;
  type.complaint = complaint;
  type.choose = choose;
  type.expand = expand;
  type.axes = {"first_rank", "layer_count", "recalibrate_every", "calibration_samples"};
  return type;
}

MethodType kvcomm_s_type() {
  MethodType type = kvcomm_type();
  type.name = "kvcomm_s";
  type.summary = "kvcomm with the receiver's positions moved back in the layers that are not sent";
  type.profile = shifted_profile;
  type.make = make_shifted;
  return type;
}

}  // namespace kvcomm
