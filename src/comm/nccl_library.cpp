// The real NCCL and CUDA calls. The communicator is non-blocking, so that even its set-up and its
// first use have a deadline: calls may return "in progress", and settle() waits for their end.
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "comm/nccl_link.h"

namespace kvcomm {

namespace {

void check_cuda(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  fail(Exit::kEnvironment, "{} failed: {}", call, cudaGetErrorString(code));
}

// A query's "not ready" is no error, but stays the last one that libtorch's own checks read.
bool is_ready(cudaError_t state, const char* call) {
  if (state == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());
    return false;
  }
  check_cuda(state, call);
  return true;
}

// `comm` may be null: then the library's last words are those of no communicator in particular.
void check_nccl(ncclResult_t code, const char* call, ncclComm_t comm = nullptr) {
  if (code == ncclSuccess || code == ncclInProgress) return;
  fail(Exit::kEnvironment, "{} failed: {} ({})", call, ncclGetErrorString(code),
       ncclGetLastError(comm));
}

class CudaMoment : public NcclLink::Moment {
 public:
  explicit CudaMoment(cudaStream_t stream) {
    check_cuda(cudaEventCreate(&event_), "cudaEventCreate");
    check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord");
  }
  CudaMoment(const CudaMoment&) = delete;
  CudaMoment& operator=(const CudaMoment&) = delete;
  ~CudaMoment() override { cudaEventDestroy(event_); }

  static cudaEvent_t of(const NcclLink::Moment& moment) {
    return dynamic_cast<const CudaMoment&>(moment).event_;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class NcclLibraryLink : public NcclLink {
 public:
  NcclLibraryLink(Communicator& lane, at::Device device, Seconds timeout_s);
  ~NcclLibraryLink() override;

  void group_start() override { check_nccl(ncclGroupStart(), "ncclGroupStart"); }
  void group_end() override;
  void send(const at::Tensor& tensor, int to) override;
  void receive(const at::Tensor& tensor, int from) override;
  std::unique_ptr<Moment> mark(Stream stream) override;
  void follow(const Moment& moment) override;
  bool reached(const Moment& moment) override;
  Seconds between(const Moment& begin, const Moment& end) override;
  void abort() noexcept override;

 private:
  Deadline deadline(const char* what) const { return {timeout_s_, what, "the lane's other GPUs"}; }
  bool settled(const char* call);
  void settle(const char* call);
  void warm_up(const Communicator& lane);
  c10::cuda::CUDAStream compute() const { return c10::cuda::getCurrentCUDAStream(device_.index()); }

  at::Device device_;
  Seconds timeout_s_;
  c10::cuda::CUDAGuard guard_;  // this thread uses this GPU, as long as the link lives
  c10::cuda::CUDAStream stream_;
  ncclComm_t comm_ = nullptr;
};

NcclLibraryLink::NcclLibraryLink(Communicator& lane, at::Device device, Seconds timeout_s)
    : device_(device),
      timeout_s_(timeout_s),
      guard_(device),
      stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())) {
  ncclUniqueId id{};
  if (lane.rank() == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
  const auto ids = lane.all_gather(std::string_view(id.internal, sizeof(id.internal)),
                                   {timeout_s, "the NCCL id", "the lane's ranks"});
  std::memcpy(id.internal, ids[0].data(), sizeof(id.internal));

  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  check_nccl(ncclCommInitRankConfig(&comm_, lane.size(), id, lane.rank(), &config),
             "ncclCommInitRankConfig", comm_);
  try {
    settle("ncclCommInitRankConfig");
    warm_up(lane);
  } catch (...) {
    abort();  // the destructor does not run for an object that was never finished
    throw;
  }
}

// Connections are made at a pair's first message, by both of its ends together: do it here, where
// neither waits for anything else.
void NcclLibraryLink::warm_up(const Communicator& lane) {
  const at::Tensor bytes = at::zeros({2, lane.size()}, at::TensorOptions(device_).dtype(at::kByte));
  follow(*mark(Stream::kCompute));
  NcclGroup group(*this);
  for (int other = 0; other < lane.size(); ++other) {
    send(bytes[0][other], other);
    receive(bytes[1][other], other);
  }
  group.end();
  const auto sent = mark(Stream::kTransfer);
  deadline("the first NCCL message").require([&] { return reached(*sent); });
}

NcclLibraryLink::~NcclLibraryLink() {
  if (comm_ == nullptr) return;
  try {
    check_nccl(ncclCommFinalize(comm_), "ncclCommFinalize", comm_);
    settle("ncclCommFinalize");
    check_nccl(ncclCommDestroy(std::exchange(comm_, nullptr)), "ncclCommDestroy");
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    abort();
  }
}

bool NcclLibraryLink::settled(const char* call) {
  if (comm_ == nullptr) fail(Exit::kEnvironment, "{}: the NCCL communicator was given up.", call);
  ncclResult_t state = ncclSuccess;
  check_nccl(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError", comm_);
  check_nccl(state, call, comm_);
  return state != ncclInProgress;
}

void NcclLibraryLink::settle(const char* call) {
  const Deadline limit = deadline(call);
  if (limit.wait([&] { return settled(call); })) return;
  abort();
  limit.fail_expired();
}

void NcclLibraryLink::group_end() {
  check_nccl(ncclGroupEnd(), "ncclGroupEnd", comm_);
  settle("ncclGroupEnd");
}

void NcclLibraryLink::send(const at::Tensor& tensor, int to) {
  check_nccl(
      ncclSend(tensor.const_data_ptr(), tensor.nbytes(), ncclUint8, to, comm_, stream_.stream()),
      "ncclSend", comm_);
}

void NcclLibraryLink::receive(const at::Tensor& tensor, int from) {
  check_nccl(ncclRecv(tensor.mutable_data_ptr(), tensor.nbytes(), ncclUint8, from, comm_,
                      stream_.stream()),
             "ncclRecv", comm_);
}

std::unique_ptr<NcclLink::Moment> NcclLibraryLink::mark(Stream stream) {
  return std::make_unique<CudaMoment>(stream == Stream::kCompute ? compute().stream()
                                                                 : stream_.stream());
}

void NcclLibraryLink::follow(const Moment& moment) {
  check_cuda(cudaStreamWaitEvent(stream_.stream(), CudaMoment::of(moment), 0),
             "cudaStreamWaitEvent");
}

bool NcclLibraryLink::reached(const Moment& moment) {
  if (!settled("NCCL's transfer")) return false;
  return is_ready(cudaEventQuery(CudaMoment::of(moment)), "cudaEventQuery");
}

Seconds NcclLibraryLink::between(const Moment& begin, const Moment& end) {
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, CudaMoment::of(begin), CudaMoment::of(end)),
             "cudaEventElapsedTime");
  return milliseconds * 1e-3;
}

void NcclLibraryLink::abort() noexcept {
  if (comm_ != nullptr) ncclCommAbort(std::exchange(comm_, nullptr));
}

}  // namespace

std::unique_ptr<NcclLink> connect_nccl(Communicator& lane, at::Device device, Seconds timeout_s) {
  return std::make_unique<NcclLibraryLink>(lane, device, timeout_s);
}

std::string gpu_name_to_nccl(at::Device device) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, device.index()), "cudaGetDeviceProperties");
  std::string name;
  for (const char byte : properties.uuid.bytes) {
    name += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  }
  const char* host = std::getenv("NCCL_HOSTID");
  return host == nullptr ? name : fmt::format("{} on {}", name, host);
}

std::string nccl_version() {
  int version = 0;
  check_nccl(ncclGetVersion(&version), "ncclGetVersion");
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace kvcomm
