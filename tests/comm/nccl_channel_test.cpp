// The NcclChannel's logic on two ranks without a GPU, over a double of the NCCL calls.
#include "comm/nccl_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/comm/fixtures.h"
#include "tests/comm/nccl_double.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OverNccl : public ::testing::Test {
 protected:
  ChannelOptions options(Seconds timeout_s = 20) const {
    return {.timeout_s = timeout_s, .peer = sender() ? "rank 1 (receiver)" : "rank 0 (sender)"};
  }
  bool sender() const { return lane_.rank() == 0; }

  Communicator lane_ = Communicator::world();
  NcclDouble nccl_{lane_};
  NcclChannel wire_{lane_, nccl_, 1 - lane_.rank(), options()};
};

TEST_F(OverNccl, ScriptOfMessagesArrivesAndItsTraceIsTheLoopbacks) {
  auto [loopback, loopback_end] = LoopbackChannel::make({});
  for (const Header& header : script()) {
    send_message(*loopback, header);
    if (sender()) {
      send_message(wire_, header);
    } else {
      const Arrived arrived = receive_message(wire_, header);
      EXPECT_EQ(difference(header, arrived.tensors), "");
      EXPECT_THAT(arrived.delivery.intact, ElementsAre(true, true, true));
    }
  }
  EXPECT_EQ(wire_.ledger().trace(), loopback->ledger().trace());
  EXPECT_EQ(wire_.ledger().total(), loopback->ledger().total());
}

TEST_F(OverNccl, KAndVOfALayerAreOneGroupBehindTheComputeStream) {
  const Header header = kv_header({0, 3});
  sender() ? send_message(wire_, header) : static_cast<void>(receive_message(wire_, header));
  EXPECT_EQ(nccl_.calls, sender() ? "c(ss)c(ss)" : "c(rr)(rr)");
}

TEST_F(OverNccl, SendTimeComesFromTheGpusClock) {
  const Header header = kv_header({0});
  nccl_.next_mark_s = {5.0, 5.5, 7.0};  // first send, end of compute, last send
  if (sender()) {
    send_message(wire_, header);
    nccl_.next_mark_s = {5.0, 9.0, 7.0};  // sent before the compute stream was done
    send_message(wire_, header);
    nccl_.next_mark_s = {5.0, 4.0, 7.0};  // begun after it
    send_message(wire_, header);
    return;
  }
  std::vector<double> exposed_s, hidden_s;
  for (int i = 0; i < 3; ++i) {
    const WireTimes times = receive_message(wire_, header).delivery.wire;
    exposed_s.push_back(times.exposed_s);
    hidden_s.push_back(times.hidden_s);
  }
  EXPECT_THAT(exposed_s, ElementsAre(1.5, 0, 2));
  EXPECT_THAT(hidden_s, ElementsAre(0.5, 2, 0));
}

TEST_F(OverNccl, ARefusalLeavesNoReceivesBehind) {
  if (sender()) {
    EXPECT_THAT(error_of([&] { send_message(wire_, kv_header({0})); }), HasSubstr("no memory"));
    send_message(wire_, token_header());
  } else {
    wire_.accept(expectation(kv_header({0})));
    wire_.refuse("no memory");
    EXPECT_EQ(difference(token_header(), receive_message(wire_, token_header()).tensors), "");
    EXPECT_EQ(nccl_.calls, "c(r)");
  }
}

TEST_F(OverNccl, AbandonedMessagesStillOweEveryByte) {
  const Header header = kv_header({0, 1});
  if (sender()) {
    wire_.offer(header);
    wire_.put(content(header, 0));
    wire_.abandon("failed");
    EXPECT_EQ(nccl_.calls, "c(ss)c(ss)");
  } else {
    EXPECT_THAT(receive_message(wire_, header).delivery.intact, ElementsAre(false, false, false));
  }
}

TEST_F(OverNccl, AHangEndsAtTheDeadlineWithAnAbort) {
  NcclChannel wire(lane_, nccl_, 1 - lane_.rank(), options(0.2));
  const Header header = kv_header({0});
  nccl_.hangs = true;
  if (sender()) {
    EXPECT_THAT(error_of([&] { send_message(wire, header); }),
                HasSubstr("its receives of the payload from rank 1 (receiver)"));
    EXPECT_EQ(nccl_.calls, "c(ss)A");
  } else {
    wire.accept(expectation(header));
    wire.take_all();
    Exit exit = Exit::kOk;
    EXPECT_THAT(error_of([&] { wire.close_received(); }, &exit), HasSubstr("rank 0 (sender)"));
    EXPECT_EQ(exit, Exit::kEnvironment);
  }
  EXPECT_TRUE(wire.broken());
}

TEST_F(OverNccl, ErrorsOfTheLibraryComeThrough) {
  const Header header = kv_header({0});
  if (sender()) {
    nccl_.failure = "NCCL says: remote process exited";
    EXPECT_THAT(error_of([&] { send_message(wire_, header); }), HasSubstr("remote process exited"));
    EXPECT_TRUE(wire_.broken());
  } else {
    wire_.accept(expectation(header));
    wire_.take_all();
  }
}

TEST_F(OverNccl, ALaneOfOneProcessSendsToItself) {
  const Communicator alone = lane_.split(lane_.rank(), 0);
  NcclDouble own(alone);
  auto [send_end, receive_end] = NcclSelfChannel::make(own, {});
  auto [loopback, loopback_end] = LoopbackChannel::make({});
  const Header kv = kv_header({0, 3});
  const at::Tensor first = content(kv, 0);
  send_end->offer(kv);
  send_end->put(first);
  for (size_t i = 1; i < 4; ++i) send_end->put(content(kv, i));
  send_end->close({});
  const Arrived arrived = receive_message(*receive_end, kv);
  EXPECT_EQ(difference(kv, arrived.tensors), "");
  EXPECT_NE(arrived.tensors[0].const_data_ptr(), first.const_data_ptr());
  EXPECT_EQ(own.calls, "c(srsr)c(srsr)");
  send_message(*loopback, kv);
  EXPECT_EQ(receive_end->ledger().trace(), loopback->ledger().trace());
  EXPECT_EQ(receive_end->ledger().total(), send_end->ledger().total());
}

TEST_F(OverNccl, ABuildWithoutNcclSaysSo) {
  if (!nccl_version().empty()) GTEST_SKIP() << "this build has NCCL " << nccl_version();
  EXPECT_THAT(error_of([&] { connect_nccl(lane_, at::kCPU, 1); }), HasSubstr("run.transport"));
}

}  // namespace
}  // namespace kvcomm::testing
