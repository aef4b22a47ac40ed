// A method's parameters: what a configuration may say of them, and the label that a cell carries in
// every result.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace kvcomm {

// The finite numbers that a value may take; `from` itself is left out where above_from is set.
struct Range {
  double from = -std::numeric_limits<double>::infinity();
  double to = std::numeric_limits<double>::infinity();
  bool above_from = false;

  bool holds(double value) const;
  std::string text() const;  // "above 0 and up to 1", "1 or more"; "" where every number will do
};

enum class ParameterType { kInteger, kReal, kFlag, kText, kLayers };

struct Parameter {
  std::string name;
  ParameterType type;
  nlohmann::json default_value;  // null: none
  std::string meaning;
  std::vector<std::string> choices = {};  // of a text
  Range range = {};                       // of a number, and of each layer
  std::string in_place_of = {};           // a parameter that says the same otherwise
  bool expands = false;                   // the method stands for several cells once it is set
  bool young = false;                     // younger than the keys, which leave its default out
};

inline constexpr int64_t kMost = 1'000'000;  // of layers and tokens: far beyond any model
inline constexpr Range kFromZero{.from = 0};
inline constexpr Range kLayer{.from = 0, .to = kMost};
inline constexpr Range kCount{.from = 1, .to = kMost};
inline constexpr Range kFraction{.from = 0, .to = 1};
inline constexpr Range kRatio{.from = 0, .to = 1, .above_from = true};
inline constexpr Range kPositive{.from = 0, .above_from = true};

// One value brought to its parameter's type: an integer becomes a real where one is wanted, layers
// are put in ascending order. `wanted` says what is needed where the value does not fit, else it is
// empty.
struct ParameterValue {
  nlohmann::json value;
  std::string wanted;  // "a number above 0 and up to 1"
};
ParameterValue parameter_value(const Parameter& parameter, const nlohmann::json& given);

// A method with one value for each parameter: a row of cells.
struct MethodSpec {
  std::string name;
  nlohmann::ordered_json set;       // an object: what the configuration set, in the table's order
  nlohmann::ordered_json resolved;  // an object: every parameter; null: does not apply
  std::optional<int64_t> limit;     // first samples, 0: all; none: the data set's

  // "kvcomm(ratio=0.5, alpha=0.8)", "kvcomm(layers=[0,3,5])", "baseline".
  std::string label() const;
};

}  // namespace kvcomm
