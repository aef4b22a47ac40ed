// The weights that an architecture must have: a table made from its config and checked as a whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/config.h"

namespace kvcomm {

struct ExpectedTensor {
  std::string name;  // Hugging Face's
  std::vector<int64_t> shape;
};

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

// Reads headers only. Fails (kEnvironment) with one message that lists every missing, surplus and
// mis-shaped tensor.
void check_weights(const std::filesystem::path& folder, const ModelConfig& config);

using Weights = std::unordered_map<std::string, at::Tensor>;

// Checked, then converted to dtype on device. Where nothing has to change, tensors are the mapped
// files'.
Weights load_weights(const std::filesystem::path& folder, const ModelConfig& config,
                     at::ScalarType dtype, at::Device device);

}  // namespace kvcomm
