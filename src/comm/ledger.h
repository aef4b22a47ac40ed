// What one end of a pipe sent or received, counted where the buffers are handed over: payload
// (the tensors' bytes) and header (headers, answers, trailers) apart. Both ends count the same.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <numeric>
#include <tuple>
#include <vector>

#include "comm/message.h"

namespace kvcomm {

struct Bytes {
  uint64_t payload = 0, header = 0;
  uint64_t total() const { return payload + header; }
  Bytes& operator+=(const Bytes& other) {
    payload += other.payload;
    header += other.header;
    return *this;
  }
  bool operator==(const Bytes&) const = default;
};

// What an end counts of a message while it is under way.
struct MessageCount {
  uint64_t header = 0;            // bytes
  std::vector<uint64_t> tensors;  // bytes of each that was handed over, in the header's order

  uint64_t payload() const { return std::accumulate(tensors.begin(), tensors.end(), uint64_t{0}); }
};

class Ledger {
 public:
  // One message as it went over: what a method's script is compared with.
  struct Entry {
    PayloadKind kind;
    uint32_t cell;
    std::vector<int> layers;  // of its tensors, in order, each once; kNoLayer for none
    uint64_t payload;
    bool operator==(const Entry&) const = default;
  };

  Bytes total() const;
  const Bytes& of(PayloadKind kind) const { return by_kind_[static_cast<size_t>(kind)]; }
  // Zeros for what never went over.
  Bytes of_sample(uint32_t cell, uint32_t sample, uint32_t attempt) const;
  // Payload of KV messages by layer 0, 1, ... up to the last that was sent; empty where none was.
  std::vector<uint64_t> kv_layers_of_sample(uint32_t cell, uint32_t sample, uint32_t attempt) const;
  // Payload of KV messages per (cell, layer).
  const std::map<std::pair<uint32_t, int>, uint64_t>& kv_by_layer() const { return kv_by_layer_; }
  const std::vector<Entry>& trace() const { return trace_; }

  // For the ends: a message that is over. Its header bytes are shared out over its samples, evenly,
  // the rest to the first ones.
  void add(const Header& header, const MessageCount& count);
  // Drops samples and trace (the totals stay): a long run calls it after each task.
  void forget_samples();

 private:
  using SampleKey = std::tuple<uint32_t, uint32_t, uint32_t>;  // cell, sample, attempt

  void add_tensor(const Header& header, const TensorSpec& spec, uint64_t bytes);

  std::array<Bytes, kKinds> by_kind_;
  std::map<SampleKey, Bytes> by_sample_;
  std::map<SampleKey, std::vector<uint64_t>> kv_layers_by_sample_;
  std::map<std::pair<uint32_t, int>, uint64_t> kv_by_layer_;
  std::vector<Entry> trace_;
};

}  // namespace kvcomm
