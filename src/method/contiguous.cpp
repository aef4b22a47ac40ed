// Contiguous: KVComm's exchange (kvcomm.cpp) with one run of neighbouring layers.
#include "base/error.h"
#include "method/sharing.h"

namespace kvcomm {

using nlohmann::ordered_json;

namespace {

LayerChoice choose(const MethodSpec& spec, std::span<const double> /*importance*/, int layers,
                   const Fidelity& /*fidelity*/) {
  return choose_contiguous(spec.resolved.at("from"), spec.resolved.at("to"), layers);
}

std::string complaint(const ordered_json& set) {
  const bool from_set = set.contains("from"), to_set = set.contains("to");
  if (set.contains("sweep_width")) {
    if (!from_set && !to_set) return "";
    return fmt::format("contiguous has both {} and sweep_width; leave one out.",
                       from_set ? "from" : "to");
  }
  if (!from_set || !to_set) {
    return fmt::format(
        "contiguous has no '{}'; give from and to, both included, or sweep_width for every run of "
        "so many layers.",
        from_set ? "to" : "from");
  }
  const auto from = set["from"].get<int64_t>(), to = set["to"].get<int64_t>();
  if (from <= to) return "";
  return fmt::format("contiguous goes from layer {} to {}; from must not be greater than to.", from,
                     to);
}

// Each window of sweep_width.
std::vector<MethodSpec> expand(const MethodSpec& spec, int64_t layers) {
  const auto width = spec.set["sweep_width"].get<int64_t>();
  if (width > layers) {
    fail(Exit::kUsage, "sweep_width = {} is wider than the model, which has {} layers.", width,
         layers);
  }
  std::vector<MethodSpec> cells;
  for (int64_t from = 0; from + width <= layers; ++from) {
    cells.push_back(with(spec, "sweep_width", {{"from", from}, {"to", from + width - 1}}));
  }
  return cells;
}

}  // namespace

MethodType contiguous_type() {
  using enum ParameterType;
  MethodType type = kv_type();
  type.name = "contiguous";
  type.summary = "one run of neighbouring layers";
  type.parameters = {{"from", kInteger, nullptr, "the first layer sent", {}, kLayer},
                     {"to", kInteger, nullptr, "the last layer sent", {}, kLayer},
                     {.name = "sweep_width",
                      .type = kInteger,
                      .default_value = nullptr,
                      .meaning = "a cell for each run of so many layers",
                      .range = kCount,
                      .expands = true}};
  type.example = {{"from", 0}, {"to", 0}};
  type.axes = {"to", "from"};
  type.choose = choose;
  type.complaint = complaint;
  type.expand = expand;
  return type;
}

}  // namespace kvcomm
