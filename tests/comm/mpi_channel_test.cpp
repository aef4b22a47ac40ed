// A channel between two ranks: rank 0 sends, rank 1 receives. Sound messages first, then all that
// can go wrong. The witness counts what MPI was really given.
#include "comm/mpi_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <list>
#include <thread>

#include "base/error.h"
#include "comm/loopback_channel.h"
#include "tests/comm/fixtures.h"
#include "tests/support/witness.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Deadline soon() { return {20, "a test's step", "the other rank"}; }

// What a faulty transport does to the tensors of one layer before they are sent.
using Fault = std::function<std::vector<at::Tensor>(std::vector<at::Tensor>)>;

class FaultyChannel : public MpiChannel {
 public:
  FaultyChannel(Communicator& lane, int peer, ChannelOptions options, Fault fault)
      : MpiChannel(lane, peer, std::move(options)), fault_(std::move(fault)) {}

 private:
  void send_together(std::span<const at::Tensor> tensors) override {
    held_.push_back(fault_({tensors.begin(), tensors.end()}));
    MpiChannel::send_together(held_.back());
  }
  Fault fault_;
  std::list<std::vector<at::Tensor>> held_;
};

class OverMpi : public ::testing::Test {
 protected:
  OverMpi() { lane_.set_name("lane " + std::string(test_name())); }

  static const char* test_name() {
    return ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  ChannelOptions options(Seconds timeout_s = 20) const {
    return {.timeout_s = timeout_s,
            .peer = sender() ? "rank 1 (receiver)" : "rank 0 (sender)",
            .part_bytes = 100};
  }
  bool sender() const { return lane_.rank() == 0; }
  int peer() const { return 1 - lane_.rank(); }

  // The message over a faulty wire; on the receiver, how it arrived.
  Delivery over(const Fault& fault, const Header& header) {
    FaultyChannel wire(lane_, peer(), options(), fault);
    if (!sender()) return receive_message(wire, header).delivery;
    send_message(wire, header);
    return {};
  }

  Communicator lane_ = Communicator::world();
};

TEST_F(OverMpi, ScriptOfMessagesArrivesAndItsTraceIsTheLoopbacks) {
  MpiChannel wire(lane_, peer(), options());
  auto [loopback, loopback_end] = LoopbackChannel::make({});
  for (const Header& header : script()) {
    send_message(*loopback, header);
    if (sender()) {
      send_message(wire, header);
    } else {
      const Arrived arrived = receive_message(wire, header);
      EXPECT_EQ(difference(header, arrived.tensors), "");
      EXPECT_THAT(arrived.delivery.intact, ElementsAre(true, true, true));
      EXPECT_EQ(arrived.delivery.sender_prefill_s, 0.25);
    }
  }
  EXPECT_EQ(wire.ledger().trace(), loopback->ledger().trace());
  EXPECT_EQ(wire.ledger().total(), loopback->ledger().total());
}

TEST_F(OverMpi, LedgerIsWhatTheWitnessSawAndTheClosedForm) {
  uint64_t closed_form = 0, payload = 0;
  MpiChannel wire(lane_, peer(), options());
  for (const Header& header : script()) {
    sender() ? send_message(wire, header) : static_cast<void>(receive_message(wire, header));
    for (const TensorSpec& spec : header.tensors) {
      const int64_t rows = spec.first_row_only ? 3 : header.kind == PayloadKind::kKv ? 14 : 8;
      const int64_t row = header.kind == PayloadKind::kKv ? 3 * 5 : 1;
      closed_form += static_cast<uint64_t>(rows * row) * c10::elementSize(spec.dtype);
    }
  }
  const std::string lane = "lane " + std::string(test_name());
  const uint64_t mine = witness_bytes(lane);
  for (const auto& [place, sent] : witness_counts()) {
    if (place.first == lane && place.second == MpiChannel::kPayloadTag) payload = sent.bytes;
  }
  EXPECT_EQ(payload, sender() ? closed_form : 0);
  EXPECT_EQ(wire.ledger().total().payload, closed_form);
  const auto counts = lane_.duplicate().all_gather(std::to_string(mine), soon());
  EXPECT_EQ(wire.ledger().total().total(), std::stoull(counts[0]) + std::stoull(counts[1]));
}

TEST_F(OverMpi, SeveralMiBInPartsAndInOne) {
  Header header = kv_header({0, 1, 2}, at::kFloat);
  header.samples = {{0, 20000}, {1, 30001}};
  for (const size_t part_bytes : {size_t{1} << 20, size_t{1} << 30}) {
    MpiChannel wire(lane_, peer(), {.timeout_s = 20, .part_bytes = part_bytes});
    if (sender()) {
      send_message(wire, header);
    } else {
      EXPECT_EQ(difference(header, receive_message(wire, header).tensors), "");
    }
  }
}

TEST_F(OverMpi, TheSenderNeedNotWaitForTheReceiverBeforeClose) {
  MpiChannel wire(lane_, peer(), options());
  const Header header = kv_header({0, 1}, at::kFloat);
  if (sender()) {
    wire.offer(header);
    for (size_t i = 0; i < 4; ++i) wire.put(content(header, i));
    lane_.send("all put", 1, 50, soon());
    wire.close({});
  } else {
    lane_.receive(0, 50, soon());  // while the header is not even looked at
    EXPECT_EQ(difference(header, receive_message(wire, header).tensors), "");
  }
}

TEST_F(OverMpi, SendTimeIsSplitAtTheEndOfThePrefill) {
  MpiChannel wire(lane_, peer(), {.timeout_s = 20});
  Header header = kv_header({0, 1}, at::kFloat);
  header.samples = {{0, 100000}};
  const auto nap = [] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); };
  if (sender()) {
    wire.offer(header);
    wire.put(content(header, 0));
    wire.put(content(header, 1));
    lane_.send("layer 0 is put", 1, 50, soon());
    lane_.receive(1, 50, soon());  // sent after the receiver's answer
    const Stopwatch sending;
    wire.put(content(header, 2));
    nap();  // layer 0 is under way
    const Seconds work_ended_at_s = now_s();
    nap();  // after the prefill, before the last send: exposed
    wire.put(content(header, 3));
    wire.close({.prefill_s = 0.2, .work_ended_at_s = work_ended_at_s});
    lane_.send(std::to_string(sending.elapsed_s()), 1, 50, soon());
  } else {
    lane_.receive(0, 50, soon());
    wire.accept(expectation(header));
    const std::vector<at::Tensor> tensors = wire.take_all();
    lane_.send("answered", 0, 50, soon());
    nap();  // so large a tensor does not move until its receiver lets MPI work
    const Delivery delivery = wire.close_received();
    EXPECT_EQ(delivery.sender_prefill_s, 0.2);
    EXPECT_GE(delivery.wire.exposed_s, 0.1);
    EXPECT_GT(delivery.wire.hidden_s, 0.05);
    EXPECT_LE(delivery.wire.hidden_s + delivery.wire.exposed_s,
              std::stod(lane_.receive(0, 50, soon()).bytes) + 1e-5);
  }
}

TEST_F(OverMpi, WaitingForThePeersWorkIsNoTimeOfTheWire) {
  MpiChannel wire(lane_, peer(), options());
  const Header header = kv_header({0, 1}, at::kFloat);
  const auto work = [] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); };
  const Stopwatch all;
  if (sender()) {
    work();  // as a debate's sender, before it offers
    wire.offer(header);
    work();  // as a prefill
    for (size_t i = 0; i < 4; ++i) wire.put(content(header, i));
    wire.close({.prefill_s = 0.1, .work_ended_at_s = now_s()});
    EXPECT_LT(wire.waited_s(), 0.1);  // the receiver was ready long before
    wire.offer(header);               // now the receiver works
    for (size_t i = 0; i < 4; ++i) wire.put(content(header, i));
    wire.close({.work_ended_at_s = now_s()});
    EXPECT_GE(wire.waited_s(), 0.09);
  } else {
    receive_message(wire, header);
    EXPECT_GE(wire.waited_s(), 0.19);
    const Seconds before_s = wire.waited_s();
    work();
    receive_message(wire, header);
    EXPECT_LT(wire.waited_s() - before_s, 0.09);
  }
  EXPECT_LE(wire.waited_s(), all.elapsed_s());
}

// Of the receiver's last wait in a message, what the sender's sends took after its work is the
// wire's.
TEST_F(OverMpi, WhileThePayloadMovesTheReceiverDoesNotWaitForWork) {
  MpiChannel wire(lane_, peer(), options());
  const Header header = kv_header({0, 1}, at::kFloat);
  if (sender()) {
    wire.offer(header);
    wire.put(content(header, 0));
    wire.put(content(header, 1));
    lane_.receive(1, 50, soon());  // the receiver's answer is on its way
    wire.put(content(header, 2));
    const Seconds work_ended_at_s = now_s();
    std::this_thread::sleep_for(std::chrono::milliseconds(150));  // as a slow wire
    wire.put(content(header, 3));
    wire.close({.work_ended_at_s = work_ended_at_s});
  } else {
    wire.accept(expectation(header));
    const Seconds before_s = wire.waited_s();
    wire.take_all();
    lane_.send("ready", 0, 50, soon());
    const Stopwatch closing;
    const Delivery delivery = wire.close_received();
    ASSERT_GE(delivery.wire.exposed_s, 0.14);
    EXPECT_LE(wire.waited_s() - before_s, closing.elapsed_s() - delivery.wire.exposed_s + 1e-3);
  }
}

TEST_F(OverMpi, ARefusalReachesTheSenderAndTheNextMessageComes) {
  MpiChannel wire(lane_, peer(), options());
  if (sender()) {
    Exit exit = Exit::kOk;
    const std::string text = error_of([&] { send_message(wire, kv_header({0, 1})); }, &exit);
    EXPECT_THAT(text, HasSubstr("rank 1 (receiver) refused"));
    EXPECT_THAT(text, HasSubstr("out of memory"));
    EXPECT_EQ(exit, Exit::kSomeFailed);
    wire.abandon(text);  // what a lane does with every error: nothing is open here
    send_message(wire, token_header());
  } else {
    wire.accept(expectation(kv_header({0, 1})));
    wire.abandon("out of memory");
    EXPECT_EQ(difference(token_header(), receive_message(wire, token_header()).tensors), "");
  }
  EXPECT_EQ(wire.ledger().total().payload, payload_bytes(token_header()));
}

TEST_F(OverMpi, AfterReadyAnAbandonedMessageStillOwesEveryByte) {
  MpiChannel wire(lane_, peer(), options());
  const Header header = kv_header({0, 1, 2});
  if (sender()) {
    wire.offer(header);
    wire.put(content(header, 0));
    wire.abandon("layer 1 failed");
    send_message(wire, token_header());
  } else {
    const Arrived arrived = receive_message(wire, header);
    EXPECT_EQ(arrived.delivery.failure, "layer 1 failed");
    EXPECT_THAT(arrived.delivery.intact, ElementsAre(false, false, false));
    EXPECT_EQ(difference(token_header(), receive_message(wire, token_header()).tensors), "");
  }
  EXPECT_EQ(wire.ledger().of(PayloadKind::kKv).payload, payload_bytes(header));
}

TEST_F(OverMpi, AReceiverThatFailsAfterReadyDropsWhatComes) {
  MpiChannel wire(lane_, peer(), options());
  const Header header = kv_header({0, 1, 2});
  if (sender()) {
    send_message(wire, header);
    send_message(wire, token_header());
  } else {
    wire.accept(expectation(header));
    wire.take_all();
    wire.abandon("my own work failed");
    EXPECT_EQ(difference(token_header(), receive_message(wire, token_header()).tensors), "");
  }
}

TEST_F(OverMpi, WhatIsNotExpectedIsRefusedAtBothEnds) {
  const Header header = kv_header({0});
  std::vector<Expected> wrong(4, expectation(header));
  wrong[0].kind = PayloadKind::kTokens;
  wrong[1].task += 1;
  wrong[2].cell += 1;
  wrong[3].attempt += 1;
  MpiChannel wire(lane_, peer(), options());
  for (const Expected& expected : wrong) {
    if (sender()) {
      EXPECT_THAT(error_of([&] { send_message(wire, header); }), HasSubstr("out of step"));
    } else {
      Exit exit = Exit::kOk;
      EXPECT_THAT(error_of([&] { wire.accept(expected); }, &exit), HasSubstr("out of step"));
      EXPECT_EQ(exit, Exit::kIntegrity);
    }
    EXPECT_FALSE(wire.broken());
  }
}

TEST_F(OverMpi, AFlippedBitFailsThatSampleAlone) {
  int layer = 0;
  const Delivery delivery = over(
      [&](std::vector<at::Tensor> tensors) {
        if (layer++ == 1) {
          tensors[1] = tensors[1].clone();
          auto* bytes = static_cast<uint8_t*>(tensors[1].mutable_data_ptr());
          bytes[4 * 15 * 2 + 3] ^= 0x10;  // in the second sample's only row
        }
        return tensors;
      },
      kv_header({0, 3}));
  if (sender()) return;
  EXPECT_THAT(delivery.intact, ElementsAre(true, false, true));
}

TEST_F(OverMpi, SwappedHeadsTokensAndTensorsAreSeen) {
  const auto swap_first_two = [](const at::Tensor& tensor, int64_t dim, int64_t from) {
    at::Tensor order = at::arange(tensor.size(dim));
    order[from] = from + 1;
    order[from + 1] = from;
    return tensor.index_select(dim, order);
  };
  const std::vector<Fault> faults{[&](std::vector<at::Tensor> t) {
                                    return std::vector{t[0], swap_first_two(t[1], 0, 5)};
                                  },
                                  [&](std::vector<at::Tensor> t) {
                                    return std::vector{t[0], swap_first_two(t[1], 1, 0)};
                                  },
                                  [&](std::vector<at::Tensor> t) {
                                    return std::vector{t[1], t[0]};
                                  }};
  const Delivery tokens = over(faults[0], kv_header({0, 3}));
  const Delivery heads = over(faults[1], kv_header({0, 3}));
  const Delivery k_and_v = over(faults[2], kv_header({0, 3}));
  if (sender()) return;
  EXPECT_THAT(tokens.intact,
              ElementsAre(true, true, false));  // rows 5 and 6 are the third sample's
  EXPECT_THAT(heads.intact, ElementsAre(false, false, false));
  EXPECT_THAT(k_and_v.intact, ElementsAre(false, false, false));
}

TEST_F(OverMpi, SwappedLayersAreSeen) {
  std::vector<at::Tensor> other{content(kv_header({0, 3}), 2), content(kv_header({0, 3}), 3)};
  const Delivery delivery = over(
      [&](std::vector<at::Tensor> tensors) {
        std::swap(tensors, other);  // layer 3 in place of layer 0, then layer 0 in place of layer 3
        return tensors;
      },
      kv_header({0, 3}));
  if (sender()) return;
  EXPECT_THAT(delivery.intact, ElementsAre(false, false, false));
}

TEST_F(OverMpi, ALostLayerIsATimeOutThatSaysWhatCame) {
  const Header header = kv_header({0, 3});
  int layer = 0;
  FaultyChannel wire(lane_, peer(), options(0.5), [&](std::vector<at::Tensor> tensors) {
    return layer++ == 1 ? std::vector<at::Tensor>{} : tensors;
  });
  if (sender()) {
    send_message(wire, header);
  } else {
    Exit exit = Exit::kOk;
    const std::string text = error_of([&] { receive_message(wire, header); }, &exit);
    EXPECT_EQ(exit, Exit::kEnvironment);
    EXPECT_THAT(text, HasSubstr("840 of the 1680 payload bytes came"));
    EXPECT_THAT(text, HasSubstr("within 0.5 s"));
    EXPECT_TRUE(wire.broken());
  }
}

TEST_F(OverMpi, WaitsEndAndSayForWhat) {
  MpiChannel wire(lane_, peer(), options(0.1));
  const Header header = kv_header({0});
  if (sender()) {
    wire.offer(header);
    wire.put(content(header, 0));
    wire.put(content(header, 1));
    const std::string text = error_of([&] { wire.close({}); });
    EXPECT_THAT(text, HasSubstr("the answer to the header of the kv message of task 7, cell 2"));
    EXPECT_THAT(text, HasSubstr("from rank 1 (receiver)"));
    EXPECT_TRUE(wire.broken());
    EXPECT_THAT(error_of([&] { wire.abandon("too late"); }), HasSubstr("out of turn"));
    lane_.barrier(soon());
  } else {
    lane_.barrier(soon());
    wire.accept(expectation(header));
    wire.take_all();
    EXPECT_THAT(
        error_of([&] { wire.close_received(); }),
        HasSubstr("the end of the kv message of task 7, cell 2, attempt 0 from rank 0 (sender)"));
  }
}

}  // namespace
}  // namespace kvcomm::testing
