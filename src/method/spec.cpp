#include "method/spec.h"

#include <algorithm>
#include <cmath>

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

// "an integer of 1 or more", "an integer from 1 to 9", "a number above 0", "a number".
std::string with_range(const std::string& what, const Range& range, const char* separator) {
  const std::string text = range.text();
  return text.empty() ? what : what + (text.starts_with("from") ? " " : separator) + text;
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

}  // namespace kvcomm
