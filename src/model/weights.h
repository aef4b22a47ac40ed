// The weights that an architecture must have: a table made from its config and checked as a whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
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

// Where a decoder's weights come from, by the names and shapes of expected_tensors().
class Weights {
 public:
  virtual ~Weights() = default;

  // The tensor in that dtype on that device.
  virtual at::Tensor load(const std::string& name, at::TensorOptions options) const = 0;
  // Several, one behind the other along their first dimension.
  virtual at::Tensor load_joined(std::span<const std::string> names,
                                 at::TensorOptions options) const = 0;
  // Whether there is an OtherHead.
  virtual bool has_other_head() const = 0;
};

// A model's weights, checked as a whole and still on disk: of what is not loaded, headers alone are
// read.
class WeightFiles : public Weights {
 public:
  // Names may lack "model.", as those of a base model do. Fails (kEnvironment) with one message on
  // what is missing, surplus and mis-shaped.
  WeightFiles(const std::filesystem::path& folder, const ModelConfig& config);
  WeightFiles(const WeightFiles&) = delete;
  WeightFiles& operator=(const WeightFiles&) = delete;

  // Where nothing has to change it is the mapped file's.
  at::Tensor load(const std::string& name, at::TensorOptions options) const override;
  // Allocated once and filled, so that no part is held beside the whole.
  at::Tensor load_joined(std::span<const std::string> names,
                         at::TensorOptions options) const override;

  // Reads both tensors where there is a head at all.
  bool has_other_head() const override;

 private:
  // What holds a tensor, by the name that is expected.
  struct Held {
    const SafetensorsFile* file;
    std::string stored_name;

    const StoredTensor& stored() const { return file->tensors().at(stored_name); }
    at::Tensor tensor() const { return file->tensor(stored_name); }
  };

  void make_index(std::vector<std::string>& wrong);
  void check(const std::filesystem::path& folder, const ModelConfig& config,
             std::vector<std::string> wrong) const;

  std::vector<SafetensorsFile> files_;
  std::unordered_map<std::string, Held> index_;
  bool tied_;
};

// Weights that no one trained, for measuring what a shape costs: norms of ones, all else normal
// with a standard deviation of 0.02. The same on every device; nothing is written or read.
class RandomWeights : public Weights {
 public:
  RandomWeights(const ModelConfig& config, uint64_t seed);

  at::Tensor load(const std::string& name, at::TensorOptions options) const override;
  at::Tensor load_joined(std::span<const std::string> names,
                         at::TensorOptions options) const override;
  bool has_other_head() const override { return false; }

 private:
  std::unordered_map<std::string, std::vector<int64_t>> shapes_;
  at::Tensor
      values_;  // [values] float32: a tensor holds them over and over, from a place of its own
};

}  // namespace kvcomm
