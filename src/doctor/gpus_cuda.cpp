#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "base/clock.h"
#include "base/error.h"
#include "doctor/gpus.h"

namespace kvcomm::doctor {

namespace {

void check_cuda(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // libtorch's own checks would read it
  fail(Exit::kEnvironment, "{} failed: {}", call, cudaGetErrorString(code));
}

// Memory of one GPU.
class Buffer {
 public:
  Buffer(int device, size_t bytes) : device_(device), bytes_(bytes) {
    use();
    check_cuda(cudaMalloc(&data_, bytes), "cudaMalloc");
  }
  ~Buffer() {
    if (cudaSetDevice(device_) == cudaSuccess) static_cast<void>(cudaFree(data_));
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void use() const { check_cuda(cudaSetDevice(device_), "cudaSetDevice"); }
  void write(const std::vector<uint32_t>& words) const {
    use();
    check_cuda(cudaMemcpy(data_, words.data(), bytes_, cudaMemcpyHostToDevice), "cudaMemcpy");
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }
  std::vector<uint32_t> read() const {
    std::vector<uint32_t> words(bytes_ / sizeof(uint32_t));
    use();
    check_cuda(cudaMemcpy(words.data(), data_, bytes_, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return words;
  }
  Seconds copy_from(const Buffer& other) const {
    use();
    const Stopwatch watch;
    check_cuda(cudaMemcpyPeer(data_, device_, other.data_, other.device_, bytes_),
               "cudaMemcpyPeer");
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    other.use();
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    return watch.elapsed_s();
  }

 private:
  int device_;
  size_t bytes_;
  void* data_ = nullptr;
};

// Lets a GPU reach another's memory, as long as this lives and where the machine can.
class PeerAccess {
 public:
  PeerAccess(int device, int peer) : device_(device), peer_(peer) {
    int can = 0;
    check_cuda(cudaDeviceCanAccessPeer(&can, device, peer), "cudaDeviceCanAccessPeer");
    if (can == 0) return;
    check_cuda(cudaSetDevice(device), "cudaSetDevice");
    const cudaError_t code = cudaDeviceEnablePeerAccess(peer, /*flags=*/0);
    is_direct_ = true;
    if (code == cudaErrorPeerAccessAlreadyEnabled) {
      static_cast<void>(cudaGetLastError());
      return;
    }
    check_cuda(code, "cudaDeviceEnablePeerAccess");
    is_ours_ = true;
  }
  ~PeerAccess() {
    if (is_ours_ && cudaSetDevice(device_) == cudaSuccess) {
      static_cast<void>(cudaDeviceDisablePeerAccess(peer_));
    }
  }
  PeerAccess(const PeerAccess&) = delete;
  PeerAccess& operator=(const PeerAccess&) = delete;

  bool is_direct() const { return is_direct_; }

 private:
  int device_, peer_;
  bool is_direct_ = false, is_ours_ = false;
};

// "GPU-01234567-89ab-cdef-0123-456789abcdef", as nvidia-smi and CUDA_VISIBLE_DEVICES have it.
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU";
  for (size_t i = 0; i < sizeof uuid.bytes; ++i) {
    const bool begins = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
    text += fmt::format("{}{:02x}", begins ? "-" : "", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

Gpu describe(int index) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  std::array<char, 32> pci{};
  check_cuda(cudaDeviceGetPCIBusId(pci.data(), static_cast<int>(pci.size()), index),
             "cudaDeviceGetPCIBusId");
  return {.index = index,
          .name = properties.name,
          .pci = pci.data(),
          .uuid = uuid_text(properties.uuid),
          .capability = 10 * properties.major + properties.minor};
}

}  // namespace

std::optional<CudaVersions> cuda_versions() {
  CudaVersions versions;
  check_cuda(cudaDriverGetVersion(&versions.driver), "cudaDriverGetVersion");
  check_cuda(cudaRuntimeGetVersion(&versions.runtime), "cudaRuntimeGetVersion");
  return versions;
}

std::vector<Gpu> visible_gpus() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver) {  // told by the versions
    static_cast<void>(cudaGetLastError());
    return {};
  }
  check_cuda(code, "cudaGetDeviceCount");
  std::vector<Gpu> gpus;
  for (int index = 0; index < count; ++index) gpus.push_back(describe(index));
  return gpus;
}

PeerCopy copy_between(int from, int to, size_t bytes) {
  std::vector<uint32_t> pattern(bytes / sizeof(uint32_t));
  for (size_t i = 0; i < pattern.size(); ++i) pattern[i] = static_cast<uint32_t>(i) * 2654435761U;
  const Buffer source(from, bytes), target(to, bytes);
  const PeerAccess access(to, from);
  source.write(pattern);
  target.copy_from(source);                             // the first one sets the way up
  target.write(std::vector<uint32_t>(pattern.size()));  // what is read below came by the second
  const Seconds took_s = target.copy_from(source);
  return {.direct = access.is_direct(),
          .intact = target.read() == pattern,
          .bytes_per_s = static_cast<double>(bytes) / took_s};
}

}  // namespace kvcomm::doctor
