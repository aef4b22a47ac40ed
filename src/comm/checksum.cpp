#include "comm/checksum.h"

#include <cstring>

namespace kvcomm {

uint64_t wire_sum(std::span<const std::byte> bytes) {
  const size_t words = bytes.size() / sizeof(uint64_t);
  uint64_t sum = 0;
  for (size_t i = 0; i < words; ++i) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i * sizeof(word), sizeof(word));
    sum += (2 * i + 1) * word;
  }
  if (const size_t tail = bytes.size() % sizeof(uint64_t); tail != 0) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + words * sizeof(word), tail);
    sum += (2 * words + 1) * word;
  }
  return sum;
}

at::Tensor wire_sum_on_device(const at::Tensor& tensor) {
  constexpr int64_t kPieceWords = int64_t{1} << 22;  // bounds the memory for the products
  const at::Tensor bytes = tensor.reshape({-1}).view(at::kByte);
  const at::TensorOptions words = bytes.options().dtype(at::kLong);
  at::Tensor sum = at::zeros({}, words);
  for (int64_t first = 0; first * 8 < bytes.numel(); first += kPieceWords) {
    at::Tensor piece = bytes.slice(0, first * 8, (first + kPieceWords) * 8);
    // A view as int64 needs whole words that start at a multiple of eight.
    if (piece.numel() % 8 != 0 || piece.storage_offset() % 8 != 0) {
      const at::Tensor padded = at::zeros({(piece.numel() + 7) / 8 * 8}, piece.options());
      padded.narrow(0, 0, piece.numel()).copy_(piece);
      piece = padded;
    }
    const int64_t end = first + piece.numel() / 8;
    const at::Tensor weights = at::arange(2 * first + 1, 2 * end + 1, 2, words);
    sum += (piece.view(at::kLong) * weights).sum();  // int64 wraps mod 2^64
  }
  return sum;
}

void MessageSums::add(const at::Tensor& tensor, const TensorSpec& spec, const Header& header) {
  if (!on_) return;
  std::vector<uint64_t> on_host;
  std::vector<at::Tensor> on_device;
  int64_t row = 0;
  for (const SampleRows& sample : header.samples) {
    const int64_t rows = rows_of(spec, sample), row_bytes = bytes_per_row(spec);
    if (tensor.is_cpu()) {
      const auto* begin = static_cast<const std::byte*>(tensor.const_data_ptr()) + row * row_bytes;
      on_host.push_back(wire_sum({begin, static_cast<size_t>(rows * row_bytes)}));
    } else {
      on_device.push_back(wire_sum_on_device(tensor.narrow(0, row, rows)));
    }
    row += rows;
  }
  on_host_.insert(on_host_.end(), on_host.begin(), on_host.end());
  on_device_.insert(on_device_.end(), on_device.begin(), on_device.end());
}

std::vector<uint64_t> MessageSums::values() const {
  std::vector<uint64_t> sums = on_host_;
  if (on_device_.empty()) return sums;
  const at::Tensor fetched = at::stack(on_device_).cpu();
  const int64_t* values = fetched.const_data_ptr<int64_t>();
  sums.insert(sums.end(), values, values + fetched.numel());
  return sums;
}

}  // namespace kvcomm
