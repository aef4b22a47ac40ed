// The NcclTransport's logic on two ranks without a GPU, over a double of the NCCL calls.
#include "comm/nccl_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "base/error.h"
#include "tests/comm/fixtures.h"
#include "tests/comm/nccl_double.h"
#include "tests/comm/over_ranks.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OverNccl : public OverRanks {
 protected:
  // This rank's end.
  void open(const EndOptions& options) {
    OverRanks::open(std::make_unique<NcclTransport>(MpiRoute{lane_, peer()}, nccl_, options),
                    options);
  }
  void SetUp() override { open(options()); }

  NcclDouble nccl_{lane_};
};

TEST_F(OverNccl, ScriptOfMessagesArrivesAndItsTraceIsTheLoopbacks) {
  LoopbackPipe loopback;
  for (const Header& header : script()) {
    send_message(loopback.sender, header);
    if (is_sender()) {
      send_message(*sender_, header);
    } else {
      const Delivery arrived = receive_message(*receiver_, header);
      EXPECT_EQ(difference(header, arrived.tensors), "");
      EXPECT_THAT(arrived.intact, ElementsAre(true, true, true));
    }
  }
  EXPECT_EQ(end().ledger().trace(), loopback.sender.ledger().trace());
  EXPECT_EQ(end().ledger().total(), loopback.sender.ledger().total());
}

TEST_F(OverNccl, KAndVOfALayerAreOneGroupBehindTheComputeStream) {
  const Header header = kv_header({0, 3});
  is_sender() ? send_message(*sender_, header)
              : static_cast<void>(receive_message(*receiver_, header));
  EXPECT_EQ(nccl_.calls, is_sender() ? "c(ss)c(ss)" : "c(rr)(rr)");
}

TEST_F(OverNccl, SendTimeComesFromTheGpusClock) {
  const Header header = kv_header({0});
  const auto send = [&](Seconds first_s, Seconds compute_end_s, Seconds last_s) {
    nccl_.compute_s = {0, compute_end_s};  // when the layer is there; when the work has ended
    nccl_.transfer_s = {first_s, last_s};
    send_message(*sender_, header);
  };
  if (is_sender()) {
    send(5.0, 5.5, 7.0);
    send(5.0, 9.0, 7.0);  // sent before the compute stream was done
    send(5.0, 4.0, 7.0);  // begun after it
    return;
  }
  std::vector<double> exposed_s, hidden_s;
  for (int i = 0; i < 3; ++i) {
    const WireTimes times = receive_message(*receiver_, header).wire;
    exposed_s.push_back(times.exposed_s);
    hidden_s.push_back(times.hidden_s);
  }
  EXPECT_THAT(exposed_s, ElementsAre(1.5, 0, 2));
  EXPECT_THAT(hidden_s, ElementsAre(0.5, 2, 0));
}

TEST_F(OverNccl, ARefusalLeavesNoReceivesBehind) {
  if (is_sender()) {
    send_message(*sender_, kv_header({0}));
    EXPECT_EQ(nccl_.calls, "");
    send_message(*sender_, token_header());
  } else {
    receiver_->next(expectation(kv_header({0}))).refuse("no memory");
    EXPECT_EQ(difference(token_header(), receive_message(*receiver_, token_header()).tensors), "");
    EXPECT_EQ(nccl_.calls, "c(r)");
  }
}

TEST_F(OverNccl, AbandonedMessagesStillOweEveryByte) {
  const Header header = kv_header({0, 1});
  if (is_sender()) {
    sender_->offer(header).put(content(header, 0));
    sender_->settle("failed");
    sender_->flush();
    EXPECT_EQ(nccl_.calls, "c(ss)c(ss)");
  } else {
    EXPECT_THAT(receive_message(*receiver_, header).intact, ElementsAre(false, false, false));
  }
}

// A message is done when its own sends are, whatever the stream was given since.
TEST_F(OverNccl, AMessageDoesNotWaitForWhatFollowsItOnTheStream) {
  const Header header = token_header();
  const at::Tensor other = at::zeros({3});
  const auto move_other = [&] {
    nccl_.group_start();
    is_sender() ? nccl_.send(other, peer()) : nccl_.receive(other, peer());
    nccl_.group_end();
  };
  if (is_sender()) {
    nccl_.most_done = 0;
    put_message(*sender_, header);
    soon().require([&] {
      sender_->progress();
      return nccl_.calls == "c(s)";
    });
    move_other();
    nccl_.most_done = 1;  // it hangs
    sender_->flush();
  } else {
    EXPECT_EQ(difference(header, receive_message(*receiver_, header).tensors), "");
    move_other();
    const auto moved = nccl_.mark(NcclLink::Stream::kTransfer);
    soon().require([&] { return nccl_.reached(*moved); });
  }
}

TEST_F(OverNccl, AHangEndsAtTheDeadlineWithAnAbort) {
  open(options(0.2));
  const Header header = kv_header({0});
  nccl_.hangs = true;
  if (is_sender()) {
    EXPECT_THAT(error_of([&] { send_message(*sender_, header); }),
                HasSubstr("its receives of the payload of the kv message of task 7, cell 2, "
                          "attempt 0 from rank 1 (receiver)"));
    EXPECT_EQ(nccl_.calls, "c(ss)A");
  } else {
    IncomingMessage message = receiver_->next(expectation(header));
    message.accept();
    Exit exit = Exit::kOk;
    EXPECT_THAT(error_of([&] { message.take(); }, &exit), HasSubstr("rank 0 (sender)"));
    EXPECT_EQ(exit, Exit::kEnvironment);
    EXPECT_EQ(nccl_.calls, "c(rr)A");
  }
  EXPECT_TRUE(end().broken());
}

TEST_F(OverNccl, ErrorsOfTheLibraryComeThrough) {
  const Header header = kv_header({0});
  if (is_sender()) {
    nccl_.failure = "NCCL says: remote process exited";
    EXPECT_THAT(error_of([&] { send_message(*sender_, header); }),
                HasSubstr("remote process exited"));
    EXPECT_TRUE(sender_->broken());
  } else {
    receiver_->next(expectation(header)).accept();
  }
}

TEST_F(OverNccl, ALaneOfOneProcessSendsToItself) {
  const Communicator alone = lane_.split(lane_.rank(), 0);
  NcclDouble own(alone);
  LoopbackPipe self(NcclSelfTransport::make(own), {}), loopback;
  const Header kv = kv_header({0, 3});
  const at::Tensor first = content(kv, 0);
  OutgoingMessage message = self.sender.offer(kv);
  message.put(first);
  for (size_t i = 1; i < 4; ++i) message.put(content(kv, i));
  message.close({});
  self.sender.flush();
  const Delivery delivery = receive_message(self.receiver, kv);
  EXPECT_EQ(difference(kv, delivery.tensors), "");
  EXPECT_NE(delivery.tensors[0].const_data_ptr(), first.const_data_ptr());
  EXPECT_EQ(own.calls, "cc(srsr)cc(srsr)");
  send_message(loopback.sender, kv);
  EXPECT_EQ(self.receiver.ledger().trace(), loopback.sender.ledger().trace());
  EXPECT_EQ(self.receiver.ledger().total(), self.sender.ledger().total());
}

TEST_F(OverNccl, ABuildWithoutNcclSaysSo) {
  if (!nccl_version().empty()) GTEST_SKIP() << "this build has NCCL " << nccl_version();
  EXPECT_THAT(error_of([&] { connect_nccl(lane_, at::kCPU, 1); }), HasSubstr("run.transport"));
}

}  // namespace
}  // namespace kvcomm::testing
