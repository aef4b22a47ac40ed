#include "comm/ledger.h"

#include <algorithm>

namespace kvcomm {

Bytes Ledger::total() const {
  Bytes sum;
  for (const Bytes& bytes : by_kind_) sum += bytes;
  return sum;
}

Bytes Ledger::of_sample(uint32_t cell, uint32_t sample, uint32_t attempt) const {
  const auto found = by_sample_.find({cell, sample, attempt});
  return found == by_sample_.end() ? Bytes{} : found->second;
}

std::vector<uint64_t> Ledger::kv_layers_of_sample(uint32_t cell, uint32_t sample,
                                                  uint32_t attempt) const {
  const auto found = kv_layers_by_sample_.find({cell, sample, attempt});
  return found == kv_layers_by_sample_.end() ? std::vector<uint64_t>{} : found->second;
}

void Ledger::add_tensor(const Header& header, const TensorSpec& spec, uint64_t bytes) {
  by_kind_[static_cast<size_t>(header.kind)].payload += bytes;
  if (header.kind == PayloadKind::kKv) kv_by_layer_[{header.cell, spec.layer}] += bytes;
  for (const SampleRows& sample : header.samples) {
    const SampleKey key{header.cell, sample.sample, header.attempt};
    const auto part = static_cast<uint64_t>(rows_of(spec, sample) * bytes_per_row(spec));
    by_sample_[key].payload += part;
    if (header.kind != PayloadKind::kKv) continue;
    std::vector<uint64_t>& layers = kv_layers_by_sample_[key];
    layers.resize(std::max(layers.size(), static_cast<size_t>(spec.layer) + 1));
    layers[static_cast<size_t>(spec.layer)] += part;
  }
  Entry& entry = trace_.back();
  entry.payload += bytes;
  if (entry.layers.empty() || entry.layers.back() != spec.layer) entry.layers.push_back(spec.layer);
}

void Ledger::add(const Header& header, const MessageCount& count) {
  trace_.push_back({header.kind, header.cell, {}, 0});
  by_kind_[static_cast<size_t>(header.kind)].header += count.header;
  for (size_t i = 0; i < count.tensors.size(); ++i) {
    add_tensor(header, header.tensors[i], count.tensors[i]);
  }
  const size_t samples = header.samples.size();
  for (size_t i = 0; i < samples; ++i) {
    const uint64_t share = count.header / samples + (i < count.header % samples ? 1 : 0);
    by_sample_[{header.cell, header.samples[i].sample, header.attempt}].header += share;
  }
}

void Ledger::forget_samples() {
  by_sample_.clear();
  kv_layers_by_sample_.clear();
  trace_.clear();
}

}  // namespace kvcomm
