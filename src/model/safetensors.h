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

// The files that transformers would load from a model's folder: model.safetensors, else those that
// model.safetensors.index.json names; others that lie beside them are nobody's. Fails
// (kEnvironment), naming what lies there instead, where neither is there.
std::vector<std::filesystem::path> safetensors_files(const std::filesystem::path& folder);

// " It has pytorch_model.bin, which ...": weights in forms that are not read, with the cure; ""
// where there are none.
std::string other_weights(const std::filesystem::path& folder);

}  // namespace kvcomm
