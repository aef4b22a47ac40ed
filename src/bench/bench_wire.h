// kvcomm bench wire: how fast keys and values of a model's shape cross from one rank to another
// through the ends that a sweep uses, beside a bare message of as many bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/samples.h"
#include "comm/communicator.h"
#include "config/config.h"

namespace kvcomm::bench {

struct WireOptions {
  // A config.json or its folder, whose layers, KV heads and head size messages have; empty: those
  // of Llama-3.1-8B (32, 8, 128).
  std::filesystem::path model;
  RunConfig run;               // dtype, device, transport, threads, timeout_s
  bool only_loopback = false;  // nothing but the transport inside one process will do
  // Every combination is measured.
  std::vector<int64_t> tokens{1, 4, 16, 64, 256, 1024};  // of the context
  std::vector<double> ratio{0.5};                        // share of the layers that is sent
  std::vector<int64_t> layers;  // how many are sent, in the ratio's place; empty: the ratio says
  int64_t samples = 50;
  int64_t warm_up = 5;           // messages before those that count
  double throttle = 0;           // GB/s that messages go at most; 0: as fast as they go
  std::filesystem::path record;  // where the report will be written; empty: nowhere
};

// Seconds at the sender, from the header until the receiver has said that all of it is there (and
// has compared its sums).
struct WireRow {
  int64_t tokens = 0, layers = 0;
  uint64_t bytes = 0;         // payload of a message
  uint64_t header_bytes = 0;  // its header, answer and trailer
  Samples message, without_sums;
  Samples raw;  // a bare message of `bytes`; empty: nothing crosses a wire

  double bytes_per_s() const { return static_cast<double>(bytes) / median(message); }
  // Of 1: the bare message's seconds by the message's own. Not without `raw`.
  double share_of_raw() const { return median(raw) / median(message); }
  // Of 1: how much of the message's seconds its sums are.
  double share_of_sums() const { return 1 - median(without_sums) / median(message); }
};

struct WireReport {
  std::string shape, dtype, device, transport;
  double throttle = 0;  // as in the options
  std::vector<WireRow> rows;
};

// Collective over a world of two, or of one that is both ends. Hands the report over at the sender
// and returns kOk, or the code of what was refused and logged.
Exit bench_wire(Communicator& world, const WireOptions& options,
                const std::function<void(const WireReport&)>& finished);

}  // namespace kvcomm::bench
