// What goes over a channel beside the tensors: the header before them, the ready or refusal that
// answers it, the trailer after them. Their sizes depend on shapes and counts alone, never on
// values, so that equal work costs equal bytes.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace kvcomm {

// Raised with every change of what goes over the wire; the two ends must agree.
inline constexpr uint32_t kWireVersion = 4;

enum class PayloadKind : uint8_t { kKv, kTokens, kVectors, kHidden, kLayers };
inline constexpr int kKinds = 5;
std::string_view name(PayloadKind kind);  // "kv", "tokens", "vectors", "hidden", "layers"

struct SampleRows {
  uint32_t sample = 0;
  int64_t rows = 0;            // this sample's rows in each tensor of the message
  int64_t context_tokens = 0;  // of the prompt that the sender read for it
};

inline constexpr int kNoLayer = -1;

// A tensor of a message: contiguous, [sum of the samples' rows, row_shape...], the samples one
// after the other. With first_row_only each sample has one row in it.
struct TensorSpec {
  int layer = kNoLayer;  // of the model
  std::vector<int64_t> row_shape;
  at::ScalarType dtype = at::kFloat;
  bool first_row_only = false;
};

struct Header {
  uint64_t task = 0;
  uint32_t cell = 0, attempt = 0;
  PayloadKind kind = PayloadKind::kKv;
  std::vector<SampleRows> samples;
  std::vector<TensorSpec> tensors;
  std::string failure;  // not "": the sender failed before it could say more; nothing follows
};

int64_t rows_of(const TensorSpec& spec, const SampleRows& sample);
int64_t bytes_per_row(const TensorSpec& spec);
std::vector<int64_t> shape_of(const TensorSpec& spec, const Header& header);
// Payload bytes of the whole message: the closed form.
uint64_t payload_bytes(const Header& header);

struct Trailer {
  Seconds sender_prefill_s = 0, sender_decode_s = 0, exposed_s = 0, hidden_s = 0;
  double sender_joules = 0;
  uint64_t payload_bytes = 0;  // that the sender counted
  std::vector<uint64_t> sums;  // wire_sum of each tensor and sample, tensor by tensor
  std::string failure;         // "": the sender's work is good
};

// Bytes and back. The decoders fail (kIntegrity) on another version or on what they cannot read.
std::string encode(const Header& header);
std::string encode(const Trailer& trailer);
Header decode_header(std::string_view bytes);
Trailer decode_trailer(std::string_view bytes);
// The receiver's answer to a header: "" is ready, all else the reason of a refusal.
std::string encode_answer(std::string_view refusal);
std::string decode_answer(std::string_view bytes);

}  // namespace kvcomm
