// A pipe between two ranks: rank 0 sends, rank 1 receives. Sound messages first, then all that can
// go wrong. The witness counts what MPI was really given.
#include "comm/mpi_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <thread>

#include "base/error.h"
#include "comm/faulty.h"
#include "comm/open_ends.h"
#include "tests/comm/fixtures.h"
#include "tests/comm/over_ranks.h"
#include "tests/support/witness.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OverMpi : public OverRanks {
 protected:
  OverMpi() { lane_.set_name("lane " + std::string(test_name())); }

  static const char* test_name() {
    return ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }

  // This rank's end, over a faulty wire where a fault is given.
  void open(const EndOptions& options, Fault fault = {}) {
    OverRanks::open(
        std::make_unique<Faulty>(std::make_unique<MpiTransport>(MpiRoute{lane_, peer()}, options),
                                 std::move(fault)),
        options);
  }
  void open() { open(options()); }

  // The message over a faulty wire; on the receiver, how it arrived.
  Delivery over(Fault fault, const Header& header) {
    open(options(), std::move(fault));
    Delivery delivery;
    if (is_sender()) {
      send_message(*sender_, header);
    } else {
      delivery = receive_message(*receiver_, header);
    }
    sender_.reset();
    receiver_.reset();
    return delivery;
  }
};

TEST_F(OverMpi, ScriptOfMessagesArrivesAndItsTraceIsTheLoopbacks) {
  open();
  LoopbackPipe loopback;
  for (const Header& header : script()) {
    send_message(loopback.sender, header);
    if (is_sender()) {
      send_message(*sender_, header);
    } else {
      const Delivery arrived = receive_message(*receiver_, header);
      EXPECT_EQ(difference(header, arrived.tensors), "");
      EXPECT_THAT(arrived.intact, ElementsAre(true, true, true));
      EXPECT_EQ(arrived.sender_prefill_s, 0.25);
    }
  }
  EXPECT_EQ(end().ledger().trace(), loopback.sender.ledger().trace());
  EXPECT_EQ(end().ledger().total(), loopback.sender.ledger().total());
}

TEST_F(OverMpi, LedgerIsWhatTheWitnessSawAndTheClosedForm) {
  uint64_t closed_form = 0, payload = 0;
  open();
  for (const Header& header : script()) {
    is_sender() ? send_message(*sender_, header)
                : static_cast<void>(receive_message(*receiver_, header));
    for (const TensorSpec& spec : header.tensors) {
      const int64_t rows = spec.first_row_only ? 3 : header.kind == PayloadKind::kKv ? 14 : 8;
      const int64_t row = header.kind == PayloadKind::kKv ? 3 * 5 : 1;
      closed_form += static_cast<uint64_t>(rows * row) * c10::elementSize(spec.dtype);
    }
  }
  const std::string lane = "lane " + std::string(test_name());
  const uint64_t mine = witness_bytes(lane);
  for (const auto& [place, sent] : witness_counts()) {
    if (place.first == lane && place.second == MpiTransport::kPayloadTag) payload = sent.bytes;
  }
  EXPECT_EQ(payload, is_sender() ? closed_form : 0);
  EXPECT_EQ(end().ledger().total().payload, closed_form);
  const auto counts = lane_.duplicate().all_gather(std::to_string(mine), soon());
  EXPECT_EQ(end().ledger().total().total(), std::stoull(counts[0]) + std::stoull(counts[1]));
}

TEST_F(OverMpi, SeveralMiBInPartsAndInOne) {
  Header header = kv_header({0, 1, 2}, at::kFloat);
  header.samples = {{0, 20000}, {1, 30001}};
  for (const size_t part_bytes : {size_t{1} << 20, size_t{1} << 30}) {
    open({.timeout_s = 20, .part_bytes = part_bytes});
    if (is_sender()) {
      send_message(*sender_, header);
    } else {
      EXPECT_EQ(difference(header, receive_message(*receiver_, header).tensors), "");
    }
  }
}

// The window is full then: the next offer waits for the first message's end.
TEST_F(OverMpi, TheSenderIsAheadByAsManyMessagesAsItsWindowHolds) {
  EndOptions windowed = options();
  windowed.window.messages = 2;
  open(windowed);
  const Header header = kv_header({0, 1}, at::kFloat);
  const auto nap = [] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); };
  if (is_sender()) {
    put_message(*sender_, header);
    put_message(*sender_, header);
    lane_.send("two are put", 1, 50, soon());
    const Stopwatch watch;
    put_message(*sender_, header);
    EXPECT_GE(watch.elapsed_s(), 0.09);
    EXPECT_GE(sender_->waited_s(), 0.09);
    sender_->flush();
  } else {
    lane_.receive(0, 50, soon());  // while no header was even looked at
    nap();
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(difference(header, receive_message(*receiver_, header).tensors), "");
    }
  }
}

// A closed message that holds more is waited for where it is closed.
TEST_F(OverMpi, TheSenderIsAheadByAsManyBytesAsItsWindowHolds) {
  const Header header = kv_header({0, 1}, at::kFloat);
  EndOptions windowed = options();
  windowed.window.bytes = payload_bytes(header);
  open(windowed);
  if (is_sender()) {
    put_message(*sender_, header);  // as much as may be
    lane_.send("one is put", 1, 50, soon());
    const Stopwatch watch;
    put_message(*sender_, header);
    EXPECT_GE(watch.elapsed_s(), 0.09);
    sender_->flush();
  } else {
    lane_.receive(0, 50, soon());
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(difference(header, receive_message(*receiver_, header).tensors), "");
    }
  }
}

TEST_F(OverMpi, MessagesAheadMoveWhileTheSenderWorksIfItAttends) {
  open();
  const Header header = kv_header({0, 1}, at::kFloat);
  if (is_sender()) {
    put_message(*sender_, header);
    OutgoingMessage next = sender_->offer(header);
    lane_.send("offered", 1, 50, soon());
    std::optional<Received> word;  // that the first message has come
    while (!(word = lane_.poll(50, 1))) sender_->progress();
    for (size_t i = 0; i < 4; ++i) next.put(content(header, i));
    next.close({});
    sender_->flush();
  } else {
    lane_.receive(0, 50, soon());
    EXPECT_EQ(difference(header, receive_message(*receiver_, header).tensors), "");
    lane_.send("it has come", 0, 50, soon());
    EXPECT_EQ(difference(header, receive_message(*receiver_, header).tensors), "");
  }
}

TEST_F(OverMpi, SendTimeIsSplitAtTheEndOfThePrefill) {
  open({.timeout_s = 20});
  Header header = kv_header({0, 1}, at::kFloat);
  header.samples = {{0, 100000}};
  const auto nap = [] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); };
  if (is_sender()) {
    OutgoingMessage message = sender_->offer(header);
    message.put(content(header, 0));
    message.put(content(header, 1));
    lane_.send("layer 0 is put", 1, 50, soon());
    lane_.receive(1, 50, soon());  // sent after the receiver's answer
    const Stopwatch sending;
    message.put(content(header, 2));
    nap();  // layer 0 is under way
    const Seconds work_ended_at_s = now_s();
    nap();  // after the prefill, before the last send: exposed
    message.put(content(header, 3));
    message.close({.prefill_s = 0.2, .work_ended_at_s = work_ended_at_s});
    sender_->flush();
    lane_.send(std::to_string(sending.elapsed_s()), 1, 50, soon());
  } else {
    lane_.receive(0, 50, soon());
    IncomingMessage message = receiver_->next(expectation(header));
    message.accept();
    lane_.send("answered", 0, 50, soon());
    nap();  // so large a tensor does not move until its receiver lets MPI work
    EXPECT_FALSE(message.complete());
    const Delivery delivery = message.take();
    EXPECT_EQ(delivery.sender_prefill_s, 0.2);
    EXPECT_GE(delivery.wire.exposed_s, 0.1);
    EXPECT_GT(delivery.wire.hidden_s, 0.05);
    EXPECT_LE(delivery.wire.hidden_s + delivery.wire.exposed_s,
              std::stod(lane_.receive(0, 50, soon()).bytes) + 1e-5);
  }
}

TEST_F(OverMpi, WaitingForThePeersWorkIsNoTimeOfTheWire) {
  open();
  const Header header = kv_header({0, 1}, at::kFloat);
  const auto work = [] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); };
  const Stopwatch all;
  if (is_sender()) {
    work();  // as a debate's sender, before it offers
    OutgoingMessage message = sender_->offer(header);
    work();  // as a prefill
    for (size_t i = 0; i < 4; ++i) message.put(content(header, i));
    message.close({.prefill_s = 0.1, .work_ended_at_s = now_s()});
    sender_->flush();
    EXPECT_LT(sender_->waited_s(), 0.1);  // the receiver was ready long before
    send_message(*sender_, header);       // now the receiver works
    EXPECT_GE(sender_->waited_s(), 0.09);
  } else {
    receive_message(*receiver_, header);
    EXPECT_GE(receiver_->waited_s(), 0.19);
    const Seconds before_s = receiver_->waited_s();
    work();
    receive_message(*receiver_, header);
    EXPECT_LT(receiver_->waited_s() - before_s, 0.09);
  }
  EXPECT_LE(end().waited_s(), all.elapsed_s());
}

// A large layer moves on in the sender's later work, and its end is seen there.
TEST_F(OverMpi, WhatIsUnderWayAdvancesWhileTheSenderWorks) {
  open({.timeout_s = 20});
  Header header = kv_header({0, 1}, at::kFloat);
  header.samples = {{0, 100000}};
  if (is_sender()) {
    OutgoingMessage message = sender_->offer(header);
    message.put(content(header, 0));
    message.put(content(header, 1));
    const at::Tensor k = content(header, 2), v = content(header, 3);
    for (const Stopwatch working; working.elapsed_s() < 0.5;) sender_->progress();
    const Seconds work_ended_at_s = now_s();
    message.put(k);
    message.put(v);
    message.close({.work_ended_at_s = work_ended_at_s});
    sender_->flush();
  } else {
    EXPECT_LT(receive_message(*receiver_, header).wire.hidden_s, 0.4);
  }
}

// Of the receiver's last wait in a message, what the sender's sends took after its work is the
// wire's.
TEST_F(OverMpi, WhileThePayloadMovesTheReceiverDoesNotWaitForWork) {
  open();
  const Header header = kv_header({0, 1}, at::kFloat);
  if (is_sender()) {
    OutgoingMessage message = sender_->offer(header);
    message.put(content(header, 0));
    message.put(content(header, 1));
    lane_.receive(1, 50, soon());  // the receiver's answer is on its way
    message.put(content(header, 2));
    const Seconds work_ended_at_s = now_s();
    std::this_thread::sleep_for(std::chrono::milliseconds(150));  // as a slow wire
    message.put(content(header, 3));
    message.close({.work_ended_at_s = work_ended_at_s});
    sender_->flush();
  } else {
    IncomingMessage message = receiver_->next(expectation(header));
    const Seconds before_s = receiver_->waited_s();
    message.accept();
    lane_.send("ready", 0, 50, soon());
    const Stopwatch closing;
    const Delivery delivery = message.take();
    ASSERT_GE(delivery.wire.exposed_s, 0.14);
    EXPECT_LE(receiver_->waited_s() - before_s,
              closing.elapsed_s() - delivery.wire.exposed_s + 1e-3);
  }
}

TEST_F(OverMpi, ARefusedMessageIsOverAndTheNextOneComes) {
  open();
  if (is_sender()) {
    {
      OutgoingMessage message = sender_->offer(kv_header({0, 1}));
      lane_.receive(1, 50, soon());  // the refusal is on its way
      for (size_t i = 0; i < 4; ++i) message.put(content(kv_header({0, 1}), i));
    }
    EXPECT_FALSE(sender_->settle("what a lane does with every error: nothing is open here"));
    send_message(*sender_, token_header());
  } else {
    receiver_->next(expectation(kv_header({0, 1}))).refuse("out of memory");
    lane_.send("refused", 0, 50, soon());
    EXPECT_EQ(difference(token_header(), receive_message(*receiver_, token_header()).tensors), "");
  }
  EXPECT_EQ(end().ledger().total().payload, payload_bytes(token_header()));
}

TEST_F(OverMpi, AfterReadyAnAbandonedMessageStillOwesEveryByte) {
  open();
  const Header header = kv_header({0, 1, 2});
  if (is_sender()) {
    sender_->offer(header).put(content(header, 0));
    EXPECT_TRUE(sender_->settle("layer 1 failed"));
    send_message(*sender_, token_header());
  } else {
    const Delivery arrived = receive_message(*receiver_, header);
    EXPECT_EQ(arrived.failure, "layer 1 failed");
    EXPECT_THAT(arrived.intact, ElementsAre(false, false, false));
    EXPECT_EQ(difference(token_header(), receive_message(*receiver_, token_header()).tensors), "");
  }
  EXPECT_EQ(end().ledger().of(PayloadKind::kKv).payload, payload_bytes(header));
}

TEST_F(OverMpi, AReceiverThatFailsAfterReadyDropsWhatComes) {
  open();
  const Header header = kv_header({0, 1, 2});
  if (is_sender()) {
    send_message(*sender_, header);
    send_message(*sender_, token_header());
  } else {
    receiver_->next(expectation(header)).accept();
    receiver_->settle("my own work failed");
    EXPECT_EQ(receiver_->ledger().total().payload, payload_bytes(header));
    EXPECT_EQ(difference(token_header(), receive_message(*receiver_, token_header()).tensors), "");
  }
}

TEST_F(OverMpi, WhatIsNotExpectedIsRefusedAtBothEnds) {
  const Header header = kv_header({0});
  std::vector<Expected> wrong(4, expectation(header));
  wrong[0].kind = PayloadKind::kTokens;
  wrong[1].task += 1;
  wrong[2].cell += 1;
  wrong[3].attempt += 1;
  open();
  for (const Expected& expected : wrong) {
    if (is_sender()) {
      send_message(*sender_, header);
    } else {
      Exit exit = Exit::kOk;
      EXPECT_THAT(error_of([&] { receiver_->next(expected); }, &exit), HasSubstr("out of step"));
      EXPECT_EQ(exit, Exit::kIntegrity);
    }
    EXPECT_FALSE(end().broken());
  }
  EXPECT_EQ(end().ledger().total().payload, 0u);
}

// From the receiver to the sender, beside the messages and counted as they are.
TEST_F(OverMpi, AReturnPipeHasMessagesOfItsOwn) {
  open();
  PipeEnds back = open_return_ends({.transport = "mpi",
                                    .sends = !is_sender(),
                                    .receives = is_sender(),
                                    .peer = peer(),
                                    .end = options()},
                                   &lane_);
  const Header question = token_header(), answer = kv_header({0, 1});
  if (is_sender()) {
    OutgoingMessage message = sender_->offer(answer);  // while the question is on its way
    EXPECT_EQ(difference(question, receive_message(*back.receiver, question).tensors), "");
    for (size_t i = 0; i < 4; ++i) message.put(content(answer, i));
    message.close({});
    sender_->flush();
    EXPECT_EQ(back.receiver->ledger().total().payload, payload_bytes(question));
  } else {
    put_message(*back.sender, question);
    IncomingMessage message = receiver_->next(expectation(answer));
    message.accept();
    back.sender->flush();
    EXPECT_EQ(difference(answer, message.take().tensors), "");
    EXPECT_EQ(back.sender->ledger().total().payload, payload_bytes(question));
  }
  EXPECT_EQ(end().ledger().total().payload, payload_bytes(answer));
}

TEST_F(OverMpi, AFlippedBitFailsThatSampleAlone) {
  int layer = 0;
  const Delivery delivery =
      over({.payload =
                [&](const Header&, size_t, std::vector<at::Tensor> tensors) {
                  if (layer++ == 1) {
                    tensors[1] = tensors[1].clone();
                    auto* bytes = static_cast<uint8_t*>(tensors[1].mutable_data_ptr());
                    bytes[4 * 15 * 2 + 3] ^= 0x10;  // in the second sample's only row
                  }
                  return tensors;
                }},
           kv_header({0, 3}));
  if (is_sender()) return;
  EXPECT_THAT(delivery.intact, ElementsAre(true, false, true));
}

TEST_F(OverMpi, SwappedHeadsTokensAndTensorsAreSeen) {
  const auto swap_first_two = [](const at::Tensor& tensor, int64_t dim, int64_t from) {
    at::Tensor order = at::arange(tensor.size(dim));
    order[from] = from + 1;
    order[from + 1] = from;
    return tensor.index_select(dim, order);
  };
  using Tensors = std::vector<at::Tensor>;
  const auto with = [&](std::function<Tensors(Tensors)> payload) {
    return over(
        {.payload = [payload](const Header&, size_t, Tensors sent) { return payload(sent); }},
        kv_header({0, 3}));
  };
  const Delivery tokens = with([&](Tensors t) {
    return Tensors{t[0], swap_first_two(t[1], 0, 5)};
  });
  const Delivery heads = with([&](Tensors t) { return Tensors{t[0], swap_first_two(t[1], 1, 0)}; });
  const Delivery k_and_v = with([](Tensors t) { return Tensors{t[1], t[0]}; });
  if (is_sender()) return;
  EXPECT_THAT(tokens.intact,
              ElementsAre(true, true, false));  // rows 5 and 6 are the third sample's
  EXPECT_THAT(heads.intact, ElementsAre(false, false, false));
  EXPECT_THAT(k_and_v.intact, ElementsAre(false, false, false));
}

TEST_F(OverMpi, SwappedLayersAreSeen) {
  std::vector<at::Tensor> other{content(kv_header({0, 3}), 2), content(kv_header({0, 3}), 3)};
  const Delivery delivery = over(
      {.payload =
           [&](const Header&, size_t, std::vector<at::Tensor> tensors) {
             std::swap(tensors,
                       other);  // layer 3 in place of layer 0, then layer 0 in place of layer 3
             return tensors;
           }},
      kv_header({0, 3}));
  if (is_sender()) return;
  EXPECT_THAT(delivery.intact, ElementsAre(false, false, false));
}

TEST_F(OverMpi, ALostLayerIsATimeOutThatSaysWhatCame) {
  const Header header = kv_header({0, 3});
  int layer = 0;
  open(options(0.5), {.payload = [&](const Header&, size_t, std::vector<at::Tensor> tensors) {
         return layer++ == 1 ? std::vector<at::Tensor>{} : tensors;
       }});
  if (is_sender()) {
    send_message(*sender_, header);
  } else {
    Exit exit = Exit::kOk;
    const std::string text = error_of([&] { receive_message(*receiver_, header); }, &exit);
    EXPECT_EQ(exit, Exit::kEnvironment);
    EXPECT_THAT(text, HasSubstr("840 of the 1680 payload bytes came"));
    EXPECT_THAT(text, HasSubstr("within 0.5 s"));
    EXPECT_TRUE(receiver_->broken());
  }
}

TEST_F(OverMpi, WaitsEndAndSayForWhat) {
  open(options(0.1));
  const Header header = kv_header({0});
  if (is_sender()) {
    put_message(*sender_, header);
    const std::string text = error_of([&] { sender_->flush(); });
    EXPECT_THAT(text, HasSubstr("the answer to the header of the kv message of task 7, cell 2"));
    EXPECT_THAT(text, HasSubstr("from rank 1 (receiver)"));
    EXPECT_TRUE(sender_->broken());
    EXPECT_THAT(error_of([&] { sender_->offer(header); }), HasSubstr("is broken"));
    lane_.barrier(soon());
    // MPI may give the next test's communicator the same number: nothing may be left on this one.
    lane_.receive(1, static_cast<int>(ControlMessage::kAnswer), soon());
  } else {
    lane_.barrier(soon());
    IncomingMessage message = receiver_->next(expectation(header));
    message.accept();
    EXPECT_THAT(
        error_of([&] { message.take(); }),
        HasSubstr("the end of the kv message of task 7, cell 2, attempt 0 from rank 0 (sender)"));
  }
}

TEST_F(OverMpi, AHeaderThatDoesNotComeBreaksThePipe) {
  open(options(0.1));
  if (!is_sender()) {
    Exit exit = Exit::kOk;
    EXPECT_THAT(error_of([&] { receiver_->next(expectation(kv_header({0}))); }, &exit),
                HasSubstr("the header of the kv message of task 7, cell 2 from rank 0 (sender)"));
    EXPECT_EQ(exit, Exit::kEnvironment);
    EXPECT_TRUE(receiver_->broken());
  }
  lane_.barrier(soon());
}

// A receiver that never answers is noticed by a sender that waits for something else.
TEST_F(OverMpi, AnAnswerThatDoesNotComeIsNoticedInOtherWork) {
  open(options(0.1));
  if (is_sender()) {
    put_message(*sender_, kv_header({0}));
    const std::string text = error_of([&] {
      for (const Stopwatch watch; watch.elapsed_s() < 20;) sender_->progress();
    });
    EXPECT_THAT(text, HasSubstr("the answer to the header of the kv message"));
    lane_.barrier(soon());
  } else {
    lane_.barrier(soon());
    lane_.receive(0, static_cast<int>(ControlMessage::kHeader), soon());  // nothing is left
  }
}

}  // namespace
}  // namespace kvcomm::testing
