#include "model/safetensors.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/nesting.h"
#include "base/whole.h"

namespace kvcomm {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class SafetensorsFile::Map {
 public:
  explicit Map(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      fail(Exit::kEnvironment, "Cannot open the weights '{}': {}.", path.string(),
           std::strerror(errno));
    }
    struct stat status {};
    const bool known = ::fstat(fd, &status) == 0;
    size_ = known ? static_cast<size_t>(status.st_size) : 0;
    void* start = size_ == 0 ? MAP_FAILED : ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    ::close(fd);
    if (start == MAP_FAILED) {
      fail(Exit::kEnvironment, "Cannot map the weights '{}' ({} bytes) into memory: {}.",
           path.string(), size_, size_ == 0 ? "the file is empty" : std::strerror(errno));
    }
    start_ = static_cast<const char*>(start);
  }
  ~Map() { ::munmap(const_cast<char*>(start_), size_); }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  const char* start() const { return start_; }
  size_t size() const { return size_; }

 private:
  const char* start_ = nullptr;
  size_t size_ = 0;
};

namespace {

at::ScalarType dtype_of(const std::string& name, const fs::path& path, const std::string& tensor) {
  if (name == "BF16") return at::kBFloat16;
  if (name == "F16") return at::kHalf;
  if (name == "F32") return at::kFloat;
  if (name == "F64") return at::kDouble;
  if (name == "I64") return at::kLong;
  fail(Exit::kEnvironment,
       "'{}': tensor '{}' has dtype {}; BF16, F16, F32, F64 and I64 are supported.", path.string(),
       tensor, name);
}

StoredTensor read_entry(const Json& entry, const fs::path& path, const std::string& name) {
  const auto offsets = entry.at("data_offsets").get<std::vector<Whole<uint64_t>>>();
  if (offsets.size() != 2) {
    fail(Exit::kEnvironment, "'{}': tensor '{}' has {} data offsets, not 2.", path.string(), name,
         offsets.size());
  }
  const auto shape = entry.at("shape").get<std::vector<Whole<int64_t>>>();
  StoredTensor tensor{.dtype = dtype_of(entry.at("dtype"), path, name),
                      .shape = {shape.begin(), shape.end()},
                      .begin = offsets[0],
                      .end = offsets[1]};
  uint64_t bytes = at::elementSize(tensor.dtype);
  bool sound = tensor.begin <= tensor.end;
  for (const int64_t extent : tensor.shape) {
    sound = sound && extent >= 0 && !__builtin_mul_overflow(bytes, extent, &bytes);
  }
  if (!sound || bytes != tensor.end - tensor.begin) {
    fail(Exit::kEnvironment,
         "'{}': tensor '{}' of shape [{}] and dtype {} does not fill its bytes {} to {}.",
         path.string(), name, fmt::join(tensor.shape, ", "), std::string(entry.at("dtype")),
         tensor.begin, tensor.end);
  }
  return tensor;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const fs::path& path)
    : path_(path), map_(std::make_shared<const Map>(path)) {
  uint64_t header_bytes = 0;
  if (map_->size() >= 8) std::memcpy(&header_bytes, map_->start(), 8);
  if (map_->size() < 8 || header_bytes > map_->size() - 8) {
    fail(Exit::kEnvironment,
         "The weights '{}' are cut off: {} bytes, too few for the header of {} bytes that they "
         "begin with. Fetch the file again.",
         path.string(), map_->size(), header_bytes);
  }
  data_begin_ = 8 + header_bytes;
  const uint64_t data_bytes = map_->size() - data_begin_;
  try {
    const Json header = parse_json({map_->start() + 8, header_bytes});
    for (const auto& [name, entry] : header.items()) {
      if (name != "__metadata__") tensors_.emplace(name, read_entry(entry, path, name));
    }
  } catch (const Json::exception& broken) {
    fail(Exit::kEnvironment, "The header of '{}' cannot be read: {}.", path.string(),
         broken.what());
  }
  for (const auto& [name, tensor] : tensors_) {
    if (tensor.end > data_bytes) {
      fail(Exit::kEnvironment,
           "The weights '{}' are cut off: tensor '{}' ends at byte {} of the data, and there are "
           "{}. Fetch the file again.",
           path.string(), name, tensor.end, data_bytes);
    }
  }
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const StoredTensor& stored = tensors_.at(name);
  // from_blob wants a mutable pointer; the map is read-only, so a write would fault rather than
  // pass.
  void* bytes = const_cast<char*>(map_->start() + data_begin_ + stored.begin);
  return at::from_blob(
      bytes, stored.shape, [map = map_](void*) {}, at::TensorOptions().dtype(stored.dtype));
}

bool has_weights(const fs::path& folder) {
  if (!fs::exists(folder / "model.safetensors") &&
      !fs::exists(folder / "model.safetensors.index.json")) {
    return false;
  }
  return std::ranges::all_of(safetensors_files(folder),
                             [](const fs::path& file) { return fs::exists(file); });
}

std::vector<fs::path> safetensors_files(const fs::path& folder) {
  const fs::path whole = folder / "model.safetensors";
  const fs::path index = folder / "model.safetensors.index.json";
  if (fs::exists(index)) {
    std::set<std::string> names;
    try {
      const Json json = parse_json(read_file(index));
      for (const auto& [tensor, file] : json.at("weight_map").items()) names.insert(file);
    } catch (const Json::exception& broken) {
      fail(Exit::kEnvironment, "'{}' cannot be read: {}.", index.string(), broken.what());
    }
    std::vector<fs::path> files;
    for (const std::string& name : names) files.push_back(folder / name);
    return files;
  }
  if (fs::exists(whole)) return {whole};
  fail(Exit::kEnvironment,
       "No weights in '{}': neither model.safetensors nor model.safetensors.index.json is there.",
       folder.string());
}

std::string weights_fingerprint(const fs::path& folder) {
  constexpr size_t kBlocks = 64;
  constexpr size_t kBlockBytes = 4096;
  std::string parts = read_file(folder / "config.json");
  for (const fs::path& path : safetensors_files(folder)) {
    const SafetensorsFile file(path);  // checks that it is whole
    const std::string name = path.filename().string();
    std::FILE* in = std::fopen(path.c_str(), "rb");
    if (in == nullptr) {
      fail(Exit::kEnvironment, "Cannot read '{}': {}.", path.string(), std::strerror(errno));
    }
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> closer(in, &std::fclose);
    const size_t size = fs::file_size(path);
    uint64_t header_bytes = 0;
    std::string block(8, '\0');
    if (std::fread(block.data(), 1, 8, in) == 8) std::memcpy(&header_bytes, block.data(), 8);
    block.resize(header_bytes);
    block.resize(std::fread(block.data(), 1, header_bytes, in));
    parts += fmt::format("{} {} {}", name, size, block);
    for (size_t i = 0; i < kBlocks; ++i) {
      const size_t begin = size <= kBlockBytes ? 0 : (size - kBlockBytes) * i / (kBlocks - 1);
      block.resize(kBlockBytes);
      std::fseek(in, static_cast<long>(begin), SEEK_SET);
      block.resize(std::fread(block.data(), 1, kBlockBytes, in));
      parts += block;
    }
  }
  return hash128_hex(parts);
}

}  // namespace kvcomm
