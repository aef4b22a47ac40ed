#include "method/control.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "base/hash.h"

namespace kvcomm {

using nlohmann::ordered_json;

Control control_of(const MethodSpec& spec) {
  const auto control = spec.resolved.find("control");
  if (control == spec.resolved.end() || control->is_null()) return Control::kNone;
  if (*control == "deranged") return Control::kDeranged;
  return *control == "zero" ? Control::kZero : Control::kNoise;
}

MethodType with_controls(MethodType type) {
  if (type.cost == nullptr) return type;
  std::vector<std::string> choices{"deranged"};
  if (!type.sends_ids) choices.insert(choices.end(), {"zero", "noise"});
  type.parameters.push_back({.name = "control",
                             .type = ParameterType::kText,
                             .default_value = nullptr,
                             .meaning = "what is sent in the message's place",
                             .choices = std::move(choices),
                             .young = true});
  if (type.sends_ids) return type;
  type.parameters.push_back({.name = "control_seed",
                             .type = ParameterType::kInteger,
                             .default_value = 0,
                             .meaning = "draws the noise",
                             .range = kFromZero,
                             .young = true});
  return type;
}

std::string control_complaint(const ordered_json& set) {
  if (!set.contains("control_seed") || set.value("control", "") == "noise") return "";
  return "control_seed draws the numbers of control = \"noise\", which is not set; leave it out.";
}

namespace {

// Where a tensor's numbers begin: another place for each sample, sender, layer and part.
uint64_t key_of(uint64_t seed, uint32_t sample, size_t sender, int layer, size_t part) {
  const uint64_t of_sample = mixed(mixed(seed) + sample);
  return mixed(mixed(mixed(of_sample + sender) + static_cast<uint64_t>(layer + 1)) + part);
}

// Standard normal numbers by Box and Muller's formula: the same on every machine.
at::Tensor normal_numbers(uint64_t key, int64_t count) {
  at::Tensor numbers = at::empty({count + count % 2}, at::kDouble);
  auto* out = numbers.mutable_data_ptr<double>();
  for (int64_t i = 0; i < count; i += 2) {
    const double first = static_cast<double>((mixed(key + static_cast<uint64_t>(i)) >> 11) + 1);
    const double second = static_cast<double>(mixed(key + static_cast<uint64_t>(i) + 1) >> 11);
    const double radius = std::sqrt(-2 * std::log(std::ldexp(first, -53)));
    const double angle = 2 * std::numbers::pi * std::ldexp(second, -53);
    out[i] = radius * std::cos(angle);
    out[i + 1] = radius * std::sin(angle);
  }
  return numbers.narrow(0, 0, count);
}

// Rows of one sample's tensor: noise with their mean and deviation.
at::Tensor noise_like(const at::Tensor& rows, uint64_t key) {
  const at::Tensor values = rows.to(at::kCPU, at::kDouble);
  const at::Tensor numbers = normal_numbers(key, values.numel()).view(values.sizes());
  const at::Tensor deviation = values.std(/*unbiased=*/false);
  return (numbers * deviation + values.mean()).to(rows.options());
}

at::Tensor noise_for(const Header& header, size_t index, const at::Tensor& tensor, uint64_t seed,
                     size_t sender) {
  const TensorSpec& spec = header.tensors[index];
  const size_t part = header.kind == PayloadKind::kKv ? index % 2 : 0;  // keys, values
  std::vector<at::Tensor> parts;
  int64_t begin = 0;
  for (const SampleRows& sample : header.samples) {
    const at::Tensor rows = tensor.narrow(0, begin, rows_of(spec, sample));
    begin += rows.size(0);
    if (rows.numel() == 0) continue;
    parts.push_back(noise_like(rows, key_of(seed, sample.sample, sender, spec.layer, part)));
  }
  return parts.empty() ? tensor : at::cat(parts);
}

}  // namespace

Substitute substitute_of(const MethodSpec& spec, size_t sender) {
  const Control control = control_of(spec);
  if (control == Control::kZero) {
    return [](const Header&, size_t, const at::Tensor& tensor) { return at::zeros_like(tensor); };
  }
  if (control != Control::kNoise) return nullptr;
  const auto seed = spec.resolved.at("control_seed").get<uint64_t>();
  return [seed, sender](const Header& header, size_t index, const at::Tensor& tensor) {
    return noise_for(header, index, tensor, seed, sender);
  };
}

}  // namespace kvcomm
