#include "comm/transport.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace kvcomm {

std::vector<at::Tensor> allocate(const Header& header, at::TensorOptions options) {
  std::vector<at::Tensor> tensors;
  for (const TensorSpec& spec : header.tensors) {
    tensors.push_back(at::empty(shape_of(spec, header), options.dtype(spec.dtype)));
  }
  return tensors;
}

size_t end_of_layer(const Header& header, size_t begin) {
  size_t end = begin + 1;
  while (end < header.tensors.size() && header.tensors[end].layer == header.tensors[begin].layer) {
    ++end;
  }
  return end;
}

void BusyTimes::begin(Seconds at_s) {
  if (busy_) return;
  busy_ = true;
  intervals_.push_back({at_s, at_s});
}

void BusyTimes::end(Seconds at_s) {
  if (!busy_) return;
  busy_ = false;
  intervals_.back().end_s = at_s;
}

WireTimes BusyTimes::split(Seconds work_ended_at_s) const {
  WireTimes times;
  if (intervals_.empty()) return times;
  const Seconds from_s = std::max(intervals_.front().begin_s, work_ended_at_s);
  times.exposed_s = std::max(0.0, intervals_.back().end_s - from_s);
  for (const Interval& busy : intervals_) {
    times.hidden_s += std::max(0.0, std::min(busy.end_s, work_ended_at_s) - busy.begin_s);
  }
  return times;
}

}  // namespace kvcomm
