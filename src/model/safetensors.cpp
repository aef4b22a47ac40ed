#include "model/safetensors.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/model_file.h"
#include "base/nesting.h"
#include "base/whole.h"
#include "model/memory.h"

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

  // Whole pages of what is not looked at any more need not stay in memory.
  void drop(const char* begin, size_t bytes) const {
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page;
    const uintptr_t last = (reinterpret_cast<uintptr_t>(begin) + bytes) / page * page;
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }

 private:
  const char* start_ = nullptr;
  size_t size_ = 0;
};

namespace {

constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

at::ScalarType dtype_of(const std::string& name, const fs::path& path, const std::string& tensor) {
  if (name == "BF16") return at::kBFloat16;
  if (name == "F16") return at::kHalf;
  if (name == "F32") return at::kFloat;
  if (name == "F64") return at::kDouble;
  if (name == "I64") return at::kLong;
  fail(Exit::kEnvironment,
       "'{}': tensor '{}' has dtype {}; BF16, F16, F32, F64 and I64 are supported. If the weights "
       "are quantised, take the model that they were made from.",
       path.string(), tensor, name);
}

StoredTensor read_entry(const Json& entry, const fs::path& path, const std::string& name) {
  const auto offsets = entry.at("data_offsets").get<std::vector<Integer<uint64_t>>>();
  if (offsets.size() != 2) {
    fail(Exit::kEnvironment, "'{}': tensor '{}' has {} data offsets, not 2.", path.string(), name,
         offsets.size());
  }
  const auto shape = entry.at("shape").get<std::vector<Integer<int64_t>>>();
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

// The format knows no bytes that two tensors share: such a header was not written for this data.
void require_apart(const std::map<std::string, StoredTensor>& tensors, const fs::path& path) {
  using Named = std::map<std::string, StoredTensor>::value_type;
  std::vector<const Named*> places;
  for (const Named& named : tensors) {
    if (named.second.begin < named.second.end) places.push_back(&named);
  }
  std::ranges::sort(places, {}, [](const Named* named) { return named->second.begin; });
  const auto overlap = std::ranges::adjacent_find(
      places, [](const Named* a, const Named* b) { return a->second.end > b->second.begin; });
  if (overlap == places.end()) return;
  fail(Exit::kEnvironment,
       "'{}': the tensors '{}' and '{}' share bytes, so its header is not that of its data. Fetch "
       "the file again.",
       path.string(), overlap[0]->first, overlap[1]->first);
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
  require_apart(tensors_, path);
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const StoredTensor& stored = tensors_.at(name);
  // from_blob wants a mutable pointer; the map is read-only, so a write would fault rather than
  // pass.
  void* bytes = const_cast<char*>(map_->start() + data_begin_ + stored.begin);
  const size_t size = stored.end - stored.begin;
  count_memory(bytes, size, MemoryUse::kWeights);
  const auto give_back = [map = map_, size](void* address) {
    map->drop(static_cast<const char*>(address), size);
    give_back_memory(address);
  };
  return at::from_blob(bytes, stored.shape, give_back, at::TensorOptions().dtype(stored.dtype));
}

bool has_weights(const fs::path& folder) {
  if (!is_there(folder / kWhole) && !is_there(folder / kIndex)) return false;
  return std::ranges::all_of(safetensors_files(folder),
                             [](const fs::path& file) { return is_there(file); });
}

std::vector<fs::path> safetensors_files(const fs::path& folder) {
  if (is_there(folder / kWhole)) return {folder / kWhole};
  const fs::path index = folder / kIndex;
  if (!is_there(index)) {
    fail(Exit::kEnvironment, "No weights in '{}': neither {} nor {} is there.{}", folder.string(),
         kWhole, kIndex, other_weights(folder));
  }
  std::set<std::string> names;
  try {
    const Json json = parse_json(read_model_file(index));
    for (const auto& [tensor, file] : json.at("weight_map").items()) names.insert(file);
  } catch (const Json::exception& broken) {
    fail(Exit::kEnvironment, "'{}' cannot be read: {}.", index.string(), broken.what());
  }
  if (names.empty()) fail(Exit::kEnvironment, "'{}' names no file.", index.string());
  std::vector<fs::path> files;
  for (const std::string& name : names) files.push_back(folder / name);
  return files;
}

std::string other_weights(const fs::path& folder) {
  constexpr std::string_view kEndings[] = {
      ".safetensors", ".bin", ".bin.index.json", ".h5", ".msgpack", ".gguf", ".pth"};
  std::vector<std::string> found;
  std::error_code error;
  if (is_there(folder / kIndex)) return "";  // what lies there is a part of what is still missing
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool weights = std::ranges::any_of(
        kEndings, [&](std::string_view ending) { return name.ends_with(ending); });
    if (weights && name != "training_args.bin") found.push_back(name);
  }
  if (found.empty()) return "";
  std::ranges::sort(found);
  const size_t more = found.size() - 1;
  return fmt::format(
      " It has '{}'{}, which this program does not read: in Python, transformers' "
      "`AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OTHER_FOLDER, "
      "safe_serialization=True)` writes what it can load as safetensors.",
      found.front(), more == 0 ? "" : fmt::format(" and {} more", more));
}

}  // namespace kvcomm
