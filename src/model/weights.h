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

// What becomes of an lm_head.weight of other values than the embeddings where config.json ties the
// two: transformers of today uses it, 4.53.3 drops it.
enum class OtherHead { kUsed, kDropped };

// Reads headers only. Names may lack "model.", as those of a base model do. Fails (kEnvironment)
// with one message on what is missing, surplus and mis-shaped.
void check_weights(const std::filesystem::path& folder, const ModelConfig& config);

// Whether there is such an lm_head.weight. Reads both tensors where there is one at all.
bool has_other_head(const std::filesystem::path& folder, const ModelConfig& config);

using Weights = std::unordered_map<std::string, at::Tensor>;

// Checked, then converted to dtype on device: the expected tensors, and lm_head.weight beside tied
// embeddings where it is to be used. Where nothing has to change, tensors are the mapped files'.
Weights load_weights(const std::filesystem::path& folder, const ModelConfig& config,
                     at::TensorOptions options, OtherHead other_head);

}  // namespace kvcomm
