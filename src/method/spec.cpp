#include "method/spec.h"

#include <algorithm>
#include <cmath>

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

constexpr Range kFromZero{.from = 0};
constexpr Range kFraction{.from = 0, .to = 1};
constexpr Range kRatio{.from = 0, .to = 1, .above_from = true};
constexpr Range kPositive{.from = 0, .above_from = true};

const char* const kBytesOfKv =
    "2 x layers_sent x context_tokens x kv_heads x head_dim x bytes per element";

std::vector<Parameter> answering_model() {
  return {{"model",
           ParameterType::kText,
           "receiver",
           "which end's model answers",
           {"receiver", "sender"}}};
}

std::vector<MethodKind> make_method_kinds() {
  using enum ParameterType;
  const std::string kv = std::string("keys and values: ") + kBytesOfKv;
  const Parameter ratio{"ratio", kReal, 0.5, "share of the layers that is sent", {}, kRatio};
  return {
      {"baseline", answering_model(), "nothing", "the question alone, without the context"},
      {"skyline", answering_model(), "nothing", "context and question in one prompt"},
      {"kvcomm",
       {ratio,
        {"alpha", kReal, 1.0, "weight of importance against the prior", {}, kFraction},
        {"mu", kReal, 0.5, "the prior's centre, a fraction of depth", {}, {}},
        {"sigma", kReal, 10.0, "the prior's width in layers", {}, kPositive},
        {"calibration_samples",
         kInteger,
         1,
         "samples that importance is averaged over",
         {},
         {.from = 1}},
        {"layers", kLayers, nullptr, "the layers to send, by hand; excludes ratio", {}, kFromZero}},
       kv,
       "the layers that the receiver attends to most, near the prior's centre"},
      {"random",
       {ratio, {"seed", kInteger, nullptr, "draws the layers; default: run.seed", {}, kFromZero}},
       kv,
       "layers drawn at random"},
      {"contiguous",
       {{"from", kInteger, nullptr, "the first layer sent", {}, kFromZero},
        {"to", kInteger, nullptr, "the last layer sent", {}, kFromZero}},
       kv,
       "one run of neighbouring layers"},
  };
}

std::string with_range(const std::string& what, const Range& range, const char* separator) {
  const std::string text = range.text();
  return text.empty() ? what : what + separator + text;
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
    case ParameterType::kText:
      return text_value(parameter, given);
    case ParameterType::kLayers:
      return layers_value(parameter, given);
  }
  return {{}, "another type"};
}

std::string parameters_complaint(const MethodKind& kind, const ordered_json& set) {
  if (set.contains("ratio") && set.contains("layers")) {
    return kind.name + " has both ratio and layers; leave one out.";
  }
  if (kind.name != "contiguous") return "";
  for (const char* end : {"from", "to"}) {
    if (!set.contains(end)) {
      return fmt::format("contiguous has no '{}'; give from and to, both included.", end);
    }
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

MethodSpec make_method_spec(const MethodKind& kind, const ordered_json& set, int64_t default_seed) {
  MethodSpec spec{.name = kind.name,
                  .set = ordered_json::object(),
                  .resolved = ordered_json::object(),
                  .limit = std::nullopt};
  for (const Parameter& parameter : kind.parameters) {
    const auto& name = parameter.name;
    if (set.contains(name)) spec.set[name] = set[name];
    spec.resolved[name] = set.contains(name) ? set[name]
                          : name == "seed"   ? ordered_json(default_seed)
                          : name == "ratio" && set.contains("layers")
                              ? ordered_json()
                              : ordered_json(parameter.default_value);
  }
  return spec;
}

}  // namespace kvcomm
