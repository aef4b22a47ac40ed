// In place of the kernel where the build has no nvcc: several launches a sample.
#include "comm/checksum.h"

namespace kvcomm {

namespace {

at::Tensor sum_of(const at::Tensor& bytes) {
  constexpr int64_t kPieceWords = int64_t{1} << 22;  // bounds the memory for the products
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

}  // namespace

at::Tensor wire_sums_on_device(const at::Tensor& tensor, const std::vector<int64_t>& offsets) {
  const at::Tensor bytes = tensor.reshape({-1}).view(at::kByte);
  std::vector<at::Tensor> sums;
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    sums.push_back(sum_of(bytes.slice(0, offsets[i], offsets[i + 1])));
  }
  return at::stack(sums);
}

}  // namespace kvcomm
