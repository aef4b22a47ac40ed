// The token study of the paper (its figures 2 and 9): which token's activation matters, layer by
// layer? One model answers alone; nothing is sent.
//
//   read(X), where at the input of a layer rows of x become zero:
//     retain   all but one token's
//     remove   that token's alone
//
// A row is made zero, never left out: it still has a position and takes attention, and the layers
// behind fill it again. Layer l's input is after l layers; 0 is the embeddings. "none" keeps no
// row, or removes none. The answer is the letter whose logit is largest, or what the model
// generates: then the keys and values of the layers before are those of the unchanged rows.
#include <ATen/ATen.h>

#include "base/error.h"
#include "base/hash.h"
#include "method/alone.h"
#include "method/hidden.h"
#include "method/method.h"

namespace kvcomm {

namespace {

enum class Place { kFirst, kLast, kRandom, kNone };

struct Study {
  Reading asked = Reading::kBaseline;
  End model = End::kReceiver;
  int64_t layer = 0;
  bool retains = true;
  Place place = Place::kLast;
  uint64_t seed = 0;
  bool drawn_by_layer = false;  // each layer has a random place of its own
  bool letters = true;
};

class TokenStudy : public Method {
 public:
  explicit TokenStudy(const Study& study) : study_(study) {}

  std::vector<Request> receive(Batch& batch,
                               std::span<ReceiveEnd* const> /*wires*/) const override {
    std::vector<int64_t> choices;
    if (study_.letters) choices = letter_ids(batch.agent().text->tokenizer);
    std::vector<Request> requests;
    for (const Sample* sample : batch.samples()) {
      requests.push_back(
          {.prompt = {batch.prompt_builder().encoded(*sample, study_.asked, study_.model)},
           .edit =
               Edit{.layer = study_.layer, .last_row_alone = false, .apply = change(sample->index)},
           .choices = choices});
    }
    return requests;
  }

 private:
  std::function<void(at::Tensor&)> change(uint32_t sample) const {
    return [study = study_, sample](at::Tensor& x) {
      const int64_t row = row_of(study, sample, x.size(0));
      if (!study.retains) {
        if (row >= 0) x[row].zero_();
        return;
      }
      const at::Tensor kept = row >= 0 ? x[row].clone() : at::Tensor();
      x.zero_();
      if (row >= 0) x[row].copy_(kept);
    };
  }

  // -1: none.
  static int64_t row_of(const Study& study, uint32_t sample, int64_t tokens) {
    switch (study.place) {
      case Place::kFirst:
        return 0;
      case Place::kLast:
        return tokens - 1;
      case Place::kRandom: {
        uint64_t drawn = mixed(mixed(study.seed) + sample);
        if (study.drawn_by_layer) drawn = mixed(drawn + static_cast<uint64_t>(study.layer) + 1);
        return static_cast<int64_t>(drawn % static_cast<uint64_t>(tokens));
      }
      case Place::kNone:
        return -1;
    }
    return -1;
  }

  Study study_;
};

// ---- what it is

Reading asked(const MethodSpec& spec) {
  return spec.resolved.at("reads") == "question" ? Reading::kBaseline : Reading::kSkyline;
}

Place place(const MethodSpec& spec) {
  const std::string token = spec.resolved.at("token");
  if (token == "first") return Place::kFirst;
  if (token == "last") return Place::kLast;
  return token == "random" ? Place::kRandom : Place::kNone;
}

Profile profile(const MethodSpec& spec, const Fidelity& /*fidelity*/) {
  return {.answers_at = answering_end(spec),
          .asked = asked(spec),
          .answers_letters = spec.resolved.at("answer") == "letter",
          .changes_model = true};
}

std::string complaint(const nlohmann::ordered_json& set) {
  const bool random = set.value("token", "last") == "random";
  for (const char* key : {"token_seed", "draw"}) {
    if (set.contains(key) && !random) {
      return fmt::format("{} says how token = \"random\" is drawn, which is not set; leave it out.",
                         key);
    }
  }
  if (set.contains("layer") || set.contains("every")) return "";
  return "token_study has no 'layer'; give one, or every for layers in such steps.";
}

std::vector<MethodSpec> expand(const MethodSpec& spec, int64_t layers) {
  const auto step = spec.set["every"].get<int64_t>();
  std::vector<MethodSpec> cells;
  for (int64_t layer = 0; layer < layers; layer += step) {
    cells.push_back(with(spec, "every", {{"layer", layer}}));
  }
  return cells;
}

void check(const MethodSpec& spec, const ModelConfig& sender, const ModelConfig& receiver,
           const Fidelity& /*fidelity*/) {
  const ModelConfig& model = answering_end(spec) == End::kSender ? sender : receiver;
  require_layer(spec, "layer", "model", model.layers);
}

std::unique_ptr<Method> make(const MethodSpec& spec, std::span<const int> /*chosen*/,
                             int64_t /*model_layers*/, const Fidelity& /*fidelity*/) {
  const auto& value = spec.resolved;
  return std::make_unique<TokenStudy>(Study{.asked = asked(spec),
                                            .model = answering_end(spec),
                                            .layer = value.at("layer"),
                                            .retains = value.at("mode") == "retain",
                                            .place = place(spec),
                                            .seed = value.at("token_seed"),
                                            .drawn_by_layer = value.at("draw") == "layer",
                                            .letters = value.at("answer") == "letter"});
}

}  // namespace

MethodType token_study_type() {
  using enum ParameterType;
  MethodType type = alone_type(profile);
  type.name = "token_study";
  type.summary = "one model alone, some of whose tokens' activations become zero at a layer";
  type.parameters.insert(
      type.parameters.end(),
      {{"layer", kInteger, nullptr, "the layer at whose input they do", {}, kLayer},
       {.name = "every",
        .type = kInteger,
        .default_value = nullptr,
        .meaning = "a cell for each layer that is a multiple of it",
        .range = kCount,
        .in_place_of = "layer",
        .expands = true},
       {"mode", kText, "retain", "all but one token, or that one", {"retain", "remove"}},
       {"token", kText, "last", "which", {"first", "last", "random", "none"}},
       {.name = "draw",
        .type = kText,
        .default_value = "sample",
        .meaning = "a random one for each sample, or layer too",
        .choices = {"sample", "layer"},
        .young = true},
       {.name = "token_seed",
        .type = kInteger,
        .default_value = 0,
        .meaning = "draws it",
        .range = kFromZero,
        .young = true},
       {"reads", kText, "question", "what is read", {"question", "context_and_question"}},
       {"answer", kText, "letter", "the likeliest letter, or generated", {"letter", "text"}}});
  type.example = {{"layer", 0}};
  type.axes = {"layer"};
  type.profile = profile;
  type.complaint = complaint;
  type.expand = expand;
  type.check = check;
  type.make = make;
  return type;
}

}  // namespace kvcomm
