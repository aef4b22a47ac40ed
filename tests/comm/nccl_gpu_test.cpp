// The real NCCL on real GPUs; built with CUDA alone. One process sends to itself; two send to each
// other, on a GPU each or, where there is one GPU, both on that one: then each rank makes NCCL
// believe in a host of its own, so that they talk over sockets (NVIDIA supports that for no one:
// for tests alone).
#include <ATen/detail/CUDAHooksInterface.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "comm/checksum.h"
#include "comm/nccl_transport.h"
#include "tests/comm/fixtures.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;

class NcclOnGpus : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto gpus = static_cast<int>(at::detail::getCUDAHooks().deviceCount());
    if (gpus == 0) GTEST_SKIP() << "no GPU here";
    gpu_ = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(lane_.rank() % gpus));
    if (gpus >= lane_.size()) return;
    setenv("NCCL_HOSTID", std::to_string(lane_.rank()).c_str(), /*replace=*/0);
    setenv("NCCL_SOCKET_IFNAME", "lo", /*replace=*/0);
    setenv("NCCL_IB_DISABLE", "1", /*replace=*/0);
  }

  // The script's messages over this end; the sender's trace must be the loopback's.
  void send_script(SendEnd& wire) const {
    LoopbackPipe loopback;
    for (const Header& header : script()) {
      send_message(loopback.sender, header);
      OutgoingMessage message = wire.offer(header);
      for (size_t i = 0; i < header.tensors.size(); ++i) message.put(content(header, i).to(gpu_));
      message.close({.prefill_s = 0.25});
      wire.flush();
    }
    EXPECT_EQ(wire.ledger().trace(), loopback.sender.ledger().trace());
    EXPECT_EQ(wire.ledger().total(), loopback.sender.ledger().total());
  }

  void receive(ReceiveEnd& wire, const Header& header) const {
    Delivery arrived = receive_message(wire, header);
    for (at::Tensor& tensor : arrived.tensors) tensor = tensor.cpu();
    EXPECT_EQ(difference(header, arrived.tensors), "");
    EXPECT_THAT(arrived.intact, ElementsAre(true, true, true));
    EXPECT_GE(arrived.wire.exposed_s, 0);
  }

  Communicator lane_ = Communicator::world();
  at::Device gpu_ = at::kCPU;
};

TEST_F(NcclOnGpus, ScriptOfMessagesArrivesAndItsTraceIsTheLoopbacks) {
  const auto nccl = connect_nccl(lane_, gpu_, 60);
  const EndOptions options{.device = gpu_, .timeout_s = 60};
  if (lane_.size() == 1) {
    LoopbackPipe self(NcclSelfTransport::make(*nccl), options);
    send_script(self.sender);
    for (const Header& header : script()) receive(self.receiver, header);
    return;
  }
  auto transport =
      std::make_unique<NcclTransport>(MpiRoute{lane_, 1 - lane_.rank()}, *nccl, options);
  if (lane_.rank() == 0) {
    SendEnd sender(std::move(transport), options);
    return send_script(sender);
  }
  ReceiveEnd receiver(std::move(transport), options);
  for (const Header& header : script()) receive(receiver, header);
}

TEST_F(NcclOnGpus, SumsOnTheGpuAreThoseOfTheHost) {
  const at::Tensor tensor = at::randn({1001, 3, 5}).to(at::kBFloat16);
  const std::span bytes(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
  std::vector<int64_t> offsets{0};
  for (int64_t row = 1; row <= 1001; row += 10) offsets.push_back(30 * row);  // several launches
  const at::Tensor sums = wire_sums_on_device(tensor.to(gpu_), offsets).cpu();
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const auto begin = static_cast<size_t>(offsets[i]), end = static_cast<size_t>(offsets[i + 1]);
    EXPECT_EQ(static_cast<uint64_t>(sums[static_cast<int64_t>(i)].item<int64_t>()),
              wire_sum(bytes.subspan(begin, end - begin)));
  }
}

}  // namespace
}  // namespace kvcomm::testing
