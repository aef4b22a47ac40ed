// The few NCCL and CUDA calls that an NcclTransport makes, as an interface: nccl_library.cpp has
// the real ones, nccl_none.cpp stands for a build without NCCL, and the tests have a double.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace kvcomm {

// One NCCL communicator over a lane's ranks, and one stream of its own beside the compute stream.
// A tensor that was handed over must live until a moment marked behind it on the transfer stream is
// reached.
class NcclLink {
 public:
  virtual ~NcclLink() = default;

  // What lies between goes over as one operation; ranks are the lane's. Use NcclGroup.
  virtual void group_start() = 0;
  virtual void group_end() = 0;
  virtual void send(const at::Tensor& tensor, int to) = 0;
  virtual void receive(const at::Tensor& tensor, int from) = 0;

  // A moment on the GPU's own clock: when a stream has done what it was given until then.
  class Moment {
   public:
    virtual ~Moment() = default;
  };
  enum class Stream { kTransfer, kCompute };
  virtual std::unique_ptr<Moment> mark(Stream stream) = 0;
  // What is handed over from now on waits for that moment of the compute stream.
  virtual void follow(const Moment& moment) = 0;
  // True when the moment is past. Throws (kEnvironment) with the library's own words if the
  // communicator failed.
  virtual bool reached(const Moment& moment) = 0;
  // Between two moments that are past; negative if `end` came first.
  virtual Seconds between(const Moment& begin, const Moment& end) = 0;

  // Gives the communicator up, so that kernels that wait for a peer end. Nothing works after it.
  virtual void abort() noexcept = 0;
};

// Opens a group; end() closes it, and so does the destructor if an exception came between.
class NcclGroup {
 public:
  explicit NcclGroup(NcclLink& link) : link_(&link) { link.group_start(); }
  ~NcclGroup();
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;
  void end();

 private:
  NcclLink* link_;  // null once ended
};

// Collective over the lane: makes its communicator on this rank's GPU and sends a byte between all
// pairs, so that no later message waits for a connection. Fails (kEnvironment) with the cure,
// always so in a build without NCCL.
std::unique_ptr<NcclLink> connect_nccl(Communicator& lane, at::Device device, Seconds timeout_s);

// By what NCCL tells GPUs apart, whichever of them a launcher shows to a rank: the UUID, and the
// host that NCCL_HOSTID makes NCCL believe in. Two ranks of one name cannot talk over NCCL.
std::string gpu_name_to_nccl(at::Device device);

// "2.28.9", or "" in a build without NCCL.
std::string nccl_version();

}  // namespace kvcomm
