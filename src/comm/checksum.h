// The sum that shows a flipped bit, or swapped rows, heads, tokens or layers, on the wire:
// sum over i of (2i+1) w_i mod 2^64 over a range's 8-byte words, its tail filled with zeros.
// Any order of summation gives the same value, on the CPU and on a GPU.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/message.h"

namespace kvcomm {

uint64_t wire_sum(std::span<const std::byte> bytes);

// The same of each sample of a contiguous tensor, on its device: [samples] int64. offsets [samples
// + 1]: the byte where each one begins, and where the last one ends.
at::Tensor wire_sums_on_device(const at::Tensor& tensor, const std::vector<int64_t>& offsets);

// The sums of a message, gathered tensor by tensor, then sample by sample. Those of tensors on a
// GPU stay there until values() fetches them all at once.
class MessageSums {
 public:
  // on: else nothing is summed, and there are no values.
  explicit MessageSums(bool on = true) : on_(on) {}

  // `tensor` is as `spec` says for this header. If it throws (out of memory), nothing was added.
  void add(const at::Tensor& tensor, const TensorSpec& spec, const Header& header);
  std::vector<uint64_t> values() const;

 private:
  bool on_;
  std::vector<uint64_t> on_host_;
  std::vector<at::Tensor> on_device_;  // [samples] each
};

}  // namespace kvcomm
