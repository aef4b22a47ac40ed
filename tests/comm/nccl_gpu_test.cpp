// The real NCCL on one GPU: the lane of one process sends to itself. Built with CUDA alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "comm/nccl_channel.h"
#include "tests/comm/fixtures.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;

TEST(NcclOnAGpu, ScriptOfMessagesArrivesAndItsTraceIsTheLoopbacks) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no GPU here";
  const at::Device gpu(at::kCUDA, 0);
  Communicator lane = Communicator::world();
  const auto nccl = connect_nccl(lane, gpu, 60);
  auto [sender, receiver] = NcclSelfChannel::make(*nccl, {.device = gpu});
  auto [loopback, loopback_end] = LoopbackChannel::make({});
  for (const Header& header : script()) {
    send_message(*loopback, header);
    sender->offer(header);
    for (size_t i = 0; i < header.tensors.size(); ++i) sender->put(content(header, i).to(gpu));
    sender->close({.prefill_s = 0.25});
    Arrived arrived = receive_message(*receiver, header);
    for (at::Tensor& tensor : arrived.tensors) tensor = tensor.cpu();
    EXPECT_EQ(difference(header, arrived.tensors), "");
    EXPECT_THAT(arrived.delivery.intact, ElementsAre(true, true, true));
    EXPECT_GE(arrived.delivery.wire.exposed_s, 0);
  }
  EXPECT_EQ(sender->ledger().trace(), loopback->ledger().trace());
  EXPECT_EQ(sender->ledger().total(), loopback->ledger().total());
}

TEST(NcclOnAGpu, SumsOnTheGpuAreThoseOfTheHost) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no GPU here";
  const at::Tensor tensor = at::randn({1001, 3, 5}).to(at::kBFloat16);
  const std::span bytes(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
  const at::Tensor sum = wire_sum_on_device(tensor.to(at::kCUDA));
  EXPECT_EQ(static_cast<uint64_t>(sum.item<int64_t>()), wire_sum(bytes));
}

}  // namespace
}  // namespace kvcomm::testing
