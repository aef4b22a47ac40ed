// Messages for the tests of pipes: made by formula, so that the receiver knows what must come.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "tests/comm/loopback_pipe.h"

namespace kvcomm::testing {

// K and V of the given layers for three samples of unequal length, 3 heads of 5 (odd sizes, so that
// words straddle rows).
inline Header kv_header(std::vector<int> layers, at::ScalarType dtype = at::kBFloat16,
                        uint32_t cell = 2) {
  Header header{.task = 7, .cell = cell, .attempt = 0, .kind = PayloadKind::kKv};
  header.samples = {{10, 4}, {11, 1}, {12, 9}};
  for (const int layer : layers) {
    for (int k_and_v = 0; k_and_v < 2; ++k_and_v) header.tensors.push_back({layer, {3, 5}, dtype});
  }
  return header;
}

inline Header token_header(uint32_t cell = 2) {
  Header header{.task = 7, .cell = cell, .attempt = 0, .kind = PayloadKind::kTokens};
  header.samples = {{10, 6}, {11, 0}, {12, 2}};
  header.tensors = {{-1, {}, at::kInt}};
  return header;
}

inline Expected expectation(const Header& header) {
  return {header.kind, header.task, header.cell, header.attempt};
}

// Tensor i of a message: every element's bytes differ from its neighbours'.
inline at::Tensor content(const Header& header, size_t i) {
  const std::vector<int64_t> shape = shape_of(header.tensors[i], header);
  const at::Tensor count = at::arange(c10::multiply_integers(shape), at::kFloat);
  return ((count + 1) * (static_cast<double>(i) + 1.5)).to(header.tensors[i].dtype).reshape(shape);
}

// The sender's part of a message up to close().
inline void put_message(SendEnd& wire, const Header& header) {
  OutgoingMessage message = wire.offer(header);
  for (size_t i = 0; i < header.tensors.size(); ++i) message.put(content(header, i));
  message.close({.prefill_s = 0.25, .work_ended_at_s = now_s()});
}

// All of it.
inline void send_message(SendEnd& wire, const Header& header) {
  put_message(wire, header);
  wire.flush();
}

inline Delivery receive_message(ReceiveEnd& wire, const Header& header) {
  IncomingMessage message = wire.next(expectation(header));
  message.accept();
  return message.take();
}

// "" or which tensor differs from content().
inline std::string difference(const Header& header, const std::vector<at::Tensor>& tensors) {
  if (tensors.size() != header.tensors.size()) return "number of tensors";
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!at::equal(tensors[i], content(header, i))) return "tensor " + std::to_string(i);
  }
  return "";
}

// A run of several messages: the same over every back end.
inline std::vector<Header> script() {
  Header release = kv_header({0, 1, 5}, at::kFloat, 3);
  release.tensors[0].first_row_only = release.tensors[1].first_row_only = true;
  return {kv_header({0, 3}), token_header(), release, kv_header({2}, at::kHalf, 4)};
}

// The sentence of the error that `work` throws, and "" if it throws none.
template <typename Work>
std::string error_of(Work&& work, Exit* exit = nullptr) {
  try {
    work();
  } catch (const Error& error) {
    if (exit != nullptr) *exit = error.exit();
    return error.what();
  }
  return "";
}

}  // namespace kvcomm::testing
