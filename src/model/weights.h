// The weights that an architecture must have: a table made from its config and checked as a whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/config.h"
#include "model/safetensors.h"

namespace kvcomm {

struct ExpectedTensor {
  std::string name;  // Hugging Face's
  std::vector<int64_t> shape;
};

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

// What becomes of an lm_head.weight of other values than the embeddings where config.json ties the
// two: transformers of today uses it, 4.53.3 drops it.
enum class OtherHead { kUsed, kDropped };

// A model's weights, checked as a whole and still on disk: of what is not loaded, headers alone are
// read.
class WeightFiles {
 public:
  // Names may lack "model.", as those of a base model do. Fails (kEnvironment) with one message on
  // what is missing, surplus and mis-shaped.
  WeightFiles(const std::filesystem::path& folder, const ModelConfig& config);
  WeightFiles(const WeightFiles&) = delete;
  WeightFiles& operator=(const WeightFiles&) = delete;

  // The tensor in that dtype on that device; where nothing has to change it is the mapped file's.
  at::Tensor load(const std::string& name, at::TensorOptions options) const;
  // Several, one behind the other along their first dimension: allocated once and filled, so that
  // no part is held beside the whole.
  at::Tensor load_joined(std::span<const std::string> names, at::TensorOptions options) const;

  // Whether there is an OtherHead. Reads both tensors where there is a head at all.
  bool has_other_head() const;

 private:
  // Where a tensor lies, by the name that is expected.
  struct Place {
    const SafetensorsFile* file;
    std::string stored_name;

    const StoredTensor& stored() const { return file->tensors().at(stored_name); }
    at::Tensor tensor() const { return file->tensor(stored_name); }
  };

  void make_index(std::vector<std::string>& wrong);
  void check(const std::filesystem::path& folder, const ModelConfig& config,
             std::vector<std::string> wrong) const;

  std::vector<SafetensorsFile> files_;
  std::unordered_map<std::string, Place> index_;
  bool tied_;
};

}  // namespace kvcomm
