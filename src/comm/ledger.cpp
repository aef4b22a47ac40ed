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

void Ledger::begin(const Header& header) {
  open_header_bytes_ = 0;
  trace_.push_back({header.kind, header.cell, {}, 0});
}

void Ledger::count_header(const Header& header, size_t bytes) {
  by_kind_[static_cast<size_t>(header.kind)].header += bytes;
  open_header_bytes_ += bytes;
}

void Ledger::count_payload(const Header& header, const TensorSpec& spec, const at::Tensor& tensor) {
  const uint64_t bytes = tensor.nbytes();
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

void Ledger::end(const Header& header) {
  const size_t samples = header.samples.size();
  for (size_t i = 0; i < samples; ++i) {
    const uint64_t share =
        open_header_bytes_ / samples + (i < open_header_bytes_ % samples ? 1 : 0);
    by_sample_[{header.cell, header.samples[i].sample, header.attempt}].header += share;
  }
  open_header_bytes_ = 0;
}

void Ledger::forget_samples() {
  by_sample_.clear();
  kv_layers_by_sample_.clear();
  trace_.clear();
}

}  // namespace kvcomm
