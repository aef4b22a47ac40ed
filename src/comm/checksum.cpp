#include "comm/checksum.h"

#include <cstring>

#include "base/clones.h"

namespace kvcomm {

namespace {

// Of whole words. No products inside the loop, since few processors multiply vectors of 64 bits:
// the running totals of a lane's words hold the last word once, the one before it twice, ...
KVC_CLONES uint64_t sum_words(const std::byte* bytes, size_t words) {
  constexpr size_t kLanes = 16;
  uint64_t sums[kLanes] = {}, totals[kLanes] = {};
  const size_t blocks = words / kLanes;
  for (size_t block = 0; block < blocks; ++block) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      uint64_t word;
      std::memcpy(&word, bytes + (block * kLanes + lane) * sizeof(word), sizeof(word));
      sums[lane] += word;
      totals[lane] += sums[lane];
    }
  }
  uint64_t sum = 0;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    sum += 2 * kLanes * (blocks * sums[lane] - totals[lane]) + (2 * lane + 1) * sums[lane];
  }
  for (size_t i = blocks * kLanes; i < words; ++i) {
    uint64_t word;
    std::memcpy(&word, bytes + i * sizeof(word), sizeof(word));
    sum += (2 * i + 1) * word;
  }
  return sum;
}

}  // namespace

uint64_t wire_sum(std::span<const std::byte> bytes) {
  const size_t words = bytes.size() / sizeof(uint64_t);
  uint64_t tail = 0;
  if (const size_t rest = bytes.size() % sizeof(tail); rest != 0) {
    std::memcpy(&tail, bytes.data() + words * sizeof(tail), rest);
  }
  return sum_words(bytes.data(), words) + (2 * words + 1) * tail;
}

void MessageSums::add(const at::Tensor& tensor, const TensorSpec& spec, const Header& header) {
  if (!on_) return;
  std::vector<int64_t> offsets{0};
  for (const SampleRows& sample : header.samples) {
    offsets.push_back(offsets.back() + rows_of(spec, sample) * bytes_per_row(spec));
  }
  if (!tensor.is_cpu()) {
    on_device_.push_back(wire_sums_on_device(tensor, offsets));
    return;
  }
  const std::span bytes(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    on_host_.push_back(wire_sum(bytes.subspan(static_cast<size_t>(offsets[i]),
                                              static_cast<size_t>(offsets[i + 1] - offsets[i]))));
  }
}

std::vector<uint64_t> MessageSums::values() const {
  std::vector<uint64_t> sums = on_host_;
  if (on_device_.empty()) return sums;
  const at::Tensor fetched = at::cat(on_device_).cpu();
  const int64_t* values = fetched.const_data_ptr<int64_t>();
  sums.insert(sums.end(), values, values + fetched.numel());
  return sums;
}

}  // namespace kvcomm
