// Tensors of safetensors files by memory map: the header is read and checked, the bytes stay on
// disk until they are touched.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace kvcomm {

struct StoredTensor {
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;  // bytes from the start of the file's data
};

class SafetensorsFile {
 public:
  // Fails (kEnvironment) if the file is missing, cut off, or its header lies about its tensors.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }

  // The tensor's bytes where the map lies (read-only: writing to it is a fault); keeps the map
  // alive.
  at::Tensor tensor(const std::string& name) const;

 private:
  class Map;
  std::filesystem::path path_;
  std::shared_ptr<const Map> map_;
  uint64_t data_begin_ = 0;
  std::map<std::string, StoredTensor> tensors_;
};

// Whether the files that safetensors_files() names are there, every one.
bool has_weights(const std::filesystem::path& folder);

// The safetensors files of a model folder: model.safetensors, or those its index names.
std::vector<std::filesystem::path> safetensors_files(const std::filesystem::path& folder);

// What two runs must share to have used the same weights: a hash of config.json, of each file's
// header and size, and of 64 evenly spaced blocks of each file.
std::string weights_fingerprint(const std::filesystem::path& folder);

}  // namespace kvcomm
