#include "method/spec.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "base/error.h"
#include "base/text.h"

namespace kvcomm {

using nlohmann::json;
using nlohmann::ordered_json;

bool Range::holds(double value) const {
  return std::isfinite(value) && value <= to && (above_from ? value > from : value >= from);
}

std::string Range::text() const {
  if (!std::isfinite(from)) return "";
  const std::string low = shortest(from);
  if (!std::isfinite(to)) return above_from ? "above " + low : low + " or more";
  return (above_from ? "above " + low + " and up to " : "from " + low + " to ") + shortest(to);
}

namespace {

constexpr int64_t kMost = 1'000'000;  // of layers and tokens: far beyond any model, within an int
constexpr Range kFromZero{.from = 0};
constexpr Range kLayer{.from = 0, .to = kMost};
constexpr Range kCount{.from = 1, .to = kMost};
constexpr Range kFraction{.from = 0, .to = 1};
constexpr Range kRatio{.from = 0, .to = 1, .above_from = true};
constexpr Range kPositive{.from = 0, .above_from = true};

const char* const kKv = "keys and values";

std::vector<Parameter> answering_model() {
  return {{"model",
           ParameterType::kText,
           "receiver",
           "which end's model answers",
           {"receiver", "sender"}}};
}

Parameter ratio() {
  return {"ratio", ParameterType::kReal, 0.5, "share of the layers that is sent", {}, kRatio};
}

std::vector<Parameter> kvcomm_parameters() {
  using enum ParameterType;
  return {ratio(),
          {"layer_count", kInteger, nullptr, "so many layers, in the ratio's place", {}, kCount},
          {"layer_counts", kText, nullptr, "a cell for each layer_count from 1 on", {"all"}},
          {"alpha", kReal, 1.0, "weight of importance against the prior", {}, kFraction},
          {"mu", kReal, 0.5, "the prior's centre, a fraction of depth", {}, {}},
          {"sigma", kReal, 10.0, "the prior's width in layers", {}, kPositive},
          {"calibration_samples", kInteger, 1, "importance is averaged over them", {}, {.from = 1}},
          {"layers", kLayers, nullptr, "the layers to send, by hand", {}, kLayer}};
}

// Of NLD and CIPHER; their defaults are the fidelity's.
std::vector<Parameter> debate_parameters() {
  using enum ParameterType;
  return {{"phase1_tokens", kInteger, nullptr, "the most tokens of a first answer", {}, kCount},
          {"sender_aware", kFlag, nullptr, "the sender is told to sum up for the other"}};
}

std::vector<MethodKind> make_method_kinds() {
  using enum ParameterType;
  std::vector<Parameter> cipher = debate_parameters();
  cipher.push_back({"temperature", kReal, 1.0, "of the softmax over the table", {}, kPositive});
  return {
      {"baseline", answering_model(), "nothing", "the question alone, without the context"},
      {"skyline", answering_model(), "nothing", "context and question in one prompt"},
      {"kvcomm", kvcomm_parameters(), kKv,
       "the layers that the receiver attends to most, near the prior's centre"},
      {"kvcomm_s", kvcomm_parameters(), kKv,
       "kvcomm with the receiver's positions moved back in the layers that are not sent"},
      {"random",
       {ratio(), {"seed", kInteger, nullptr, "draws the layers", {}, kFromZero}},
       kKv,
       "layers drawn at random"},
      {"contiguous",
       {{"from", kInteger, nullptr, "the first layer sent", {}, kLayer},
        {"to", kInteger, nullptr, "the last layer sent", {}, kLayer},
        {"sweep_width", kInteger, nullptr, "a cell for each run of so many layers", {}, kCount}},
       kKv,
       "one run of neighbouring layers"},
      {"ac",
       {{"f", kText, "replace", "what becomes of it there", {"replace", "sum", "mean"}},
        {"k", kInteger, 26, "the sender's layer whose input is sent", {}, kLayer},
        {"j", kInteger, 26, "the receiver's layer at whose input it goes in", {}, kLayer}},
       "a hidden state",
       "the last context token at layer k takes the place of the last question token at layer j"},
      {"nld", debate_parameters(), "token ids",
       "both answer first, then the receiver once more, having read both answers"},
      {"cipher", cipher, "vectors",
       "nld in vectors, means of the embedding table, in place of tokens"},
  };
}

// "an integer of 1 or more", "an integer from 1 to 9", "a number above 0", "a number".
std::string with_range(const std::string& what, const Range& range, const char* separator) {
  const std::string text = range.text();
  return text.empty() ? what : what + (text.starts_with("from") ? " " : separator) + text;
}

// The first two of these parameters that are set, or fewer.
std::vector<std::string> set_of(const ordered_json& set,
                                std::initializer_list<const char*> parameters) {
  std::vector<std::string> found;
  for (const char* name : parameters) {
    if (set.contains(name)) found.push_back(name);
  }
  return found;
}

// The ways to say which layers: more than one of them cannot hold.
std::vector<std::string> choices_of_layers(const ordered_json& set) {
  return set_of(set, {"ratio", "layer_count", "layer_counts", "layers"});
}

// The cell that a method is once one parameter stands in the place of others.
MethodSpec with(const MethodSpec& spec, const char* left_out, const ordered_json& put_in) {
  MethodSpec cell = spec;
  ordered_json set = spec.set;
  set.erase(left_out);
  set.update(put_in);
  cell.resolved[left_out] = nullptr;
  cell.resolved.update(put_in);
  cell.set = ordered_json::object();
  for (const Parameter& parameter : find_method_kind(spec.name)->parameters) {
    if (set.contains(parameter.name)) cell.set[parameter.name] = set[parameter.name];
  }
  return cell;
}

ParameterValue layers_value(const Parameter& parameter, const json& given) {
  const std::string wanted = "a list of different layers, counted from 0, such as [0, 3, 5],";
  if (!given.is_array() || given.empty()) return {{}, wanted};
  for (const json& layer : given) {
    if (!layer.is_number_integer() || !parameter.range.holds(layer.get<double>())) {
      return {{}, wanted};
    }
  }
  auto layers = given.get<std::vector<int64_t>>();
  std::ranges::sort(layers);
  if (std::ranges::adjacent_find(layers) != layers.end()) return {{}, wanted};
  return {layers, ""};
}

ParameterValue text_value(const Parameter& parameter, const json& given) {
  const auto& choices = parameter.choices;
  if (choices.empty())
    return given.is_string() ? ParameterValue{given, ""} : ParameterValue{{}, "text in quotes"};
  if (given.is_string() && std::ranges::count(choices, given.get<std::string>()) > 0) {
    return {given, ""};
  }
  return {{}, "'" + join(choices, "' or '") + "'"};
}

}  // namespace

const std::vector<MethodKind>& method_kinds() {
  static const std::vector<MethodKind> kinds = make_method_kinds();
  return kinds;
}

const MethodKind* find_method_kind(std::string_view name) {
  const auto& kinds = method_kinds();
  const auto found = std::ranges::find(kinds, name, &MethodKind::name);
  return found == kinds.end() ? nullptr : &*found;
}

ParameterValue parameter_value(const Parameter& parameter, const json& given) {
  switch (parameter.type) {
    case ParameterType::kInteger:
      if (given.is_number_integer() && parameter.range.holds(given.get<double>())) {
        return {given.get<int64_t>(), ""};
      }
      return {{}, with_range("an integer", parameter.range, " of ")};
    case ParameterType::kReal:
      if (given.is_number() && parameter.range.holds(given.get<double>())) {
        return {given.get<double>(), ""};
      }
      return {{}, with_range("a number", parameter.range, " ")};
    case ParameterType::kFlag:
      return given.is_boolean() ? ParameterValue{given, ""} : ParameterValue{{}, "true or false"};
    case ParameterType::kText:
      return text_value(parameter, given);
    case ParameterType::kLayers:
      return layers_value(parameter, given);
  }
  return {{}, "another type"};
}

std::string parameters_complaint(const MethodKind& kind, const ordered_json& set) {
  const std::vector<std::string> choices = choices_of_layers(set);
  if (choices.size() > 1) {
    return fmt::format("{} has both {} and {}; leave one out.", kind.name, choices[0], choices[1]);
  }
  if (kind.name != "contiguous") return "";
  const std::vector<std::string> ends = set_of(set, {"from", "to"});
  if (set.contains("sweep_width")) {
    if (ends.empty()) return "";
    return fmt::format("contiguous has both {} and sweep_width; leave one out.", ends[0]);
  }
  if (ends.size() < 2) {
    return fmt::format(
        "contiguous has no '{}'; give from and to, both included, or sweep_width for every run of "
        "so many layers.",
        set.contains("from") ? "to" : "from");
  }
  const auto from = set["from"].get<int64_t>(), to = set["to"].get<int64_t>();
  if (from <= to) return "";
  return fmt::format("contiguous goes from layer {} to {}; from must not be greater than to.", from,
                     to);
}

std::string MethodSpec::label() const {
  std::vector<std::string> parts;
  for (const auto& [key, value] : set.items()) {
    const std::string text = value.is_number_float() ? shortest(value.get<double>())
                             : value.is_string()     ? value.get<std::string>()
                                                     : value.dump();
    parts.push_back(key + "=" + text);
  }
  return parts.empty() ? name : name + "(" + join(parts, ", ") + ")";
}

bool debates(const MethodSpec& spec) { return spec.name == "nld" || spec.name == "cipher"; }

bool hands_over_vectors(const MethodSpec& spec) {
  return spec.name == "ac" || spec.name == "cipher";
}

MethodSpec make_method_spec(const MethodKind& kind, const ordered_json& set, int64_t default_seed,
                            const Fidelity& fidelity) {
  MethodSpec spec{.name = kind.name,
                  .set = ordered_json::object(),
                  .resolved = ordered_json::object(),
                  .limit = std::nullopt};
  const bool chosen_otherwise = !choices_of_layers(set).empty();
  const ordered_json from_elsewhere{{"seed", default_seed},
                                    {"phase1_tokens", fidelity.phase1_tokens},
                                    {"sender_aware", fidelity.sender_aware}};
  for (const Parameter& parameter : kind.parameters) {
    const auto& name = parameter.name;
    if (set.contains(name)) spec.set[name] = set[name];
    spec.resolved[name] = set.contains(name)              ? set[name]
                          : from_elsewhere.contains(name) ? from_elsewhere[name]
                          : name == "ratio" && chosen_otherwise
                              ? ordered_json()
                              : ordered_json(parameter.default_value);
  }
  return spec;
}

bool stands_for_many(const MethodSpec& spec) {
  return spec.set.contains("layer_counts") || spec.set.contains("sweep_width");
}

std::vector<MethodSpec> expand_layers(const MethodSpec& spec, int64_t layers) {
  if (!stands_for_many(spec)) return {spec};
  std::vector<MethodSpec> cells;
  if (spec.set.contains("layer_counts")) {
    for (int64_t count = 1; count <= layers; ++count) {
      cells.push_back(with(spec, "layer_counts", {{"layer_count", count}}));
    }
    return cells;
  }
  const auto width = spec.set["sweep_width"].get<int64_t>();
  if (width > layers) {
    fail(Exit::kUsage, "sweep_width = {} is wider than the model, which has {} layers.", width,
         layers);
  }
  for (int64_t from = 0; from + width <= layers; ++from) {
    cells.push_back(with(spec, "sweep_width", {{"from", from}, {"to", from + width - 1}}));
  }
  return cells;
}

}  // namespace kvcomm
