// What a machine can do at best of the two things that a model's work is made of: products with its
// matrices, and reads of memory. Each is done in several ways, of which the fastest counts.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/samples.h"
#include "model/config.h"
#include "model/flops.h"

namespace kvcomm::bench {

class Limit {
 public:
  struct Way {
    std::string name;
    std::function<void()> run;
  };

  // amount: FLOP or bytes of one run. Runs each way twice, and keeps the one that was the fastest
  // the second time.
  Limit(at::Device device, double amount, std::vector<Way> ways);

  const std::string& name() const { return way_.name; }
  Seconds time() const;  // one run of the way that was kept
  // FLOP/s or bytes/s by the median of such runs.
  double rate(const Samples& runs) const { return amount_ / median(runs); }

 private:
  Seconds time(const Way& way) const;

  at::Device device_;
  double amount_;
  Way way_;
};

// The matrix products of decoder layers, alone: `rows` tokens times random matrices of the model's
// shapes, of as many layers as no cache holds.
Limit product_limit(const ModelConfig& model, at::TensorOptions options, int64_t rows);

// Reads of one buffer of so many bytes (at least 64 kB), by the threads that libtorch has now.
Limit read_limit(int64_t bytes, at::TensorOptions options);

// Reads a tensor on the CPU once, whatever it holds: each thread its part, as so many streams side
// by side.
void read_all(const at::Tensor& tensor, int64_t streams);

// The most bytes that both limits of a model take beside it.
int64_t limits_memory(const ModelConfig& model, int64_t read_bytes);

}  // namespace kvcomm::bench
