// The table of methods and their parameters: what a configuration may say, and the label that a
// cell carries in every result. Only what the program can run stands here; other names are refused.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "select/fidelity.h"

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
  std::vector<std::string> choices;  // of a text
  Range range;                       // of a number, and of each layer
};

struct MethodKind {
  std::string name;
  std::vector<Parameter> parameters;  // in the documentation's order, which is the label's
  std::string crosses;                // what crosses the wire
  std::string summary;
};

// Every method that this program can run, in the documentation's order.
const std::vector<MethodKind>& method_kinds();

// The method of that name, or nullptr.
const MethodKind* find_method_kind(std::string_view name);

// One value brought to its parameter's type: an integer becomes a real where one is wanted, layers
// are put in ascending order. `wanted` says what is needed where the value does not fit, else it is
// empty.
struct ParameterValue {
  nlohmann::json value;
  std::string wanted;  // "a number above 0 and up to 1"
};
ParameterValue parameter_value(const Parameter& parameter, const nlohmann::json& given);

// What is wrong between the parameters that were set (ratio and layers together, from after to, one
// missing that has no default), as a sentence with its cure; "" if nothing is.
std::string parameters_complaint(const MethodKind& kind, const nlohmann::ordered_json& set);

// A method with one value for each parameter: a row of cells.
struct MethodSpec {
  std::string name;
  nlohmann::ordered_json set;       // an object: what the configuration set, in the table's order
  nlohmann::ordered_json resolved;  // an object: every parameter; null: does not apply
  std::optional<int64_t> limit;     // first samples, 0: all; none: the data set's

  // "kvcomm(ratio=0.5, alpha=0.8)", "kvcomm(layers=[0,3,5])", "baseline".
  std::string label() const;
};

// NLD, CIPHER: both ends answer before the receiver does once more.
bool debates(const MethodSpec& spec);

// AC, CIPHER: activations or vectors of one model are read by the other.
bool hands_over_vectors(const MethodSpec& spec);

// `set` holds values from parameter_value() about which parameters_complaint() is silent.
// default_seed is Random's seed where none is set; phase1_tokens and sender_aware are the
// fidelity's.
MethodSpec make_method_spec(const MethodKind& kind, const nlohmann::ordered_json& set,
                            int64_t default_seed, const Fidelity& fidelity = Fidelity::paper());

// The cells that a method stands for between models of so many layers: itself, or one for each
// value of `layer_counts = "all"` or each window of `sweep_width`, as if written by hand. Fails
// (kUsage) where a window is wider than the model.
std::vector<MethodSpec> expand_layers(const MethodSpec& spec, int64_t layers);

// Whether it stands for such cells.
bool stands_for_many(const MethodSpec& spec);

}  // namespace kvcomm
