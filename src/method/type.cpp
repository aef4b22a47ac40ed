#include "method/type.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "method/control.h"
#include "method/method.h"

namespace kvcomm {

using nlohmann::ordered_json;

std::string_view prompt_key(Reading reading) {
  switch (reading) {
    case Reading::kNothing:
      return "";
    case Reading::kContext:
    case Reading::kSay:
      return "sender";
    case Reading::kSummarise:
      return "sender_summary";
    case Reading::kQuestion:
      return "receiver";
    case Reading::kBaseline:
      return "baseline";
    case Reading::kSkyline:
      return "skyline";
    case Reading::kRefine:
      return "refine";
  }
  return "";
}

std::vector<std::string> Profile::prompts() const {
  std::vector<std::string> keys;
  if (sender != Reading::kNothing) keys.emplace_back(prompt_key(sender));
  keys.emplace_back(prompt_key(asked));
  if (refines) keys.insert(keys.end(), {"refine", "other_answer"});
  return keys;
}

std::string WireCost::text() const {
  std::vector<std::string> parts;
  const auto add = [&](int64_t bytes, const std::string& what) {
    if (bytes > 0) parts.push_back(fmt::format("{} B a {}", bytes, what));
  };
  add(per_context_token, "context token");
  add(per_sample, "sample");
  add(per_step, fmt::format("{} generated", step));
  return parts.empty() ? "nothing" : (at_most ? "up to " : "") + join(parts, " + ");
}

const MethodType* find_method(std::string_view name) {
  const auto& all = methods();
  const auto found = std::ranges::find(all, name, &MethodType::name);
  return found == all.end() ? nullptr : &*found;
}

const MethodType& type_of(const MethodSpec& spec) {
  const MethodType* type = find_method(spec.name);
  if (type == nullptr) fail(Exit::kInternal, "There is no method '{}'.", spec.name);
  return *type;
}

Profile profile_of(const MethodSpec& spec, const Fidelity& fidelity) {
  return type_of(spec).profile(spec, fidelity);
}

bool shares_layers(const MethodSpec& spec) { return type_of(spec).choose != nullptr; }

WireCost wire_cost(const MethodSpec& spec, const ModelConfig& model, int64_t element,
                   const Fidelity& fidelity) {
  const auto cost = type_of(spec).cost;
  return cost == nullptr ? WireCost{} : cost(spec, model, element, fidelity);
}

std::unique_ptr<Method> make_method(const MethodSpec& spec, std::span<const int> chosen,
                                    int64_t model_layers, const Fidelity& fidelity) {
  return type_of(spec).make(spec, chosen, model_layers, fidelity);
}

namespace {

// Those of the parameter's name and those that stand in its place, as far as they are set.
std::vector<std::string> set_for(const Parameter& parameter, const MethodType& type,
                                 const ordered_json& set) {
  std::vector<std::string> found;
  for (const Parameter& other : type.parameters) {
    const bool same = other.name == parameter.name || other.in_place_of == parameter.name;
    if (same && set.contains(other.name)) found.push_back(other.name);
  }
  return found;
}

}  // namespace

std::string parameters_complaint(const MethodType& type, const ordered_json& set) {
  for (const Parameter& parameter : type.parameters) {
    const std::vector<std::string> ways = set_for(parameter, type, set);
    if (ways.size() < 2) continue;
    return fmt::format("{} has both {} and {}; leave one out.", type.name, ways[0], ways[1]);
  }
  if (std::string complaint = control_complaint(set); !complaint.empty()) return complaint;
  return type.complaint == nullptr ? "" : type.complaint(set);
}

MethodSpec make_method_spec(const MethodType& type, const ordered_json& set, int64_t default_seed,
                            const Fidelity& fidelity) {
  MethodSpec spec{.name = type.name,
                  .set = ordered_json::object(),
                  .resolved = ordered_json::object(),
                  .limit = std::nullopt};
  const ordered_json from_elsewhere{{"seed", default_seed},
                                    {"phase1_tokens", fidelity.phase1_tokens},
                                    {"sender_aware", fidelity.sender_aware}};
  for (const Parameter& parameter : type.parameters) {
    const auto& name = parameter.name;
    if (set.contains(name)) {
      spec.set[name] = spec.resolved[name] = set[name];
    } else if (from_elsewhere.contains(name)) {
      spec.resolved[name] = from_elsewhere[name];
    } else {
      const bool replaced = !set_for(parameter, type, set).empty();
      spec.resolved[name] = replaced ? ordered_json() : ordered_json(parameter.default_value);
    }
  }
  return spec;
}

ordered_json keyed_parameters(const MethodSpec& spec) {
  ordered_json keyed = spec.resolved;
  for (const Parameter& parameter : type_of(spec).parameters) {
    if (parameter.young && keyed.at(parameter.name) == parameter.default_value) {
      keyed.erase(parameter.name);
    }
  }
  return keyed;
}

StudyPlace study_place(const MethodSpec& spec, std::span<const MethodSpec* const> others) {
  StudyPlace place;
  MethodSpec series = spec;
  for (const std::string& axis : type_of(spec).axes) {
    if (place.axes.size() == 2 || !spec.set.contains(axis)) continue;
    const bool varies = std::ranges::any_of(others, [&](const MethodSpec* other) {
      return other->name == spec.name && other->set.contains(axis) &&
             other->set[axis] != spec.set[axis];
    });
    if (!varies) continue;
    place.axes.push_back(axis);
    place.values.push_back(spec.set[axis].get<double>());
    series.set.erase(axis);
  }
  place.series = series.label();
  return place;
}

bool stands_for_many(const MethodSpec& spec) {
  return std::ranges::any_of(type_of(spec).parameters, [&](const Parameter& parameter) {
    return parameter.expands && spec.set.contains(parameter.name);
  });
}

std::vector<MethodSpec> expand_layers(const MethodSpec& spec, int64_t layers) {
  if (!stands_for_many(spec)) return {spec};
  return type_of(spec).expand(spec, layers);
}

MethodSpec with(const MethodSpec& spec, const char* left_out, const ordered_json& put_in) {
  MethodSpec cell = spec;
  ordered_json set = spec.set;
  set.erase(left_out);
  set.update(put_in);
  cell.resolved[left_out] = nullptr;
  cell.resolved.update(put_in);
  cell.set = ordered_json::object();
  for (const Parameter& parameter : type_of(spec).parameters) {
    if (set.contains(parameter.name)) cell.set[parameter.name] = set[parameter.name];
  }
  return cell;
}

}  // namespace kvcomm
