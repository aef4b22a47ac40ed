// Everything of a pipe that needs no second process: messages, sums, ledger, its two ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "comm/checksum.h"
#include "comm/faulty.h"
#include "comm/throttled.h"
#include "tests/comm/fixtures.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

TEST(WireSum, IsTheFormulaOverWordsWithAZeroFilledTail) {
  const std::vector<uint64_t> words{5, ~uint64_t{0}, 0x0102030405060708};
  EXPECT_EQ(wire_sum(std::as_bytes(std::span(words))), 5 + 3 * ~uint64_t{0} + 5 * words[2]);
  const auto bytes = std::as_bytes(std::span(words)).first(19);  // 3 bytes of the last word
  EXPECT_EQ(wire_sum(bytes), 5 + 3 * ~uint64_t{0} + 5 * uint64_t{0x060708});
  EXPECT_EQ(wire_sum({}), 0u);
}

TEST(WireSum, IsTheSameForAnyLengthAndPlace) {
  std::vector<std::byte> bytes(700);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * i + 7 * i);
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t size = 0; begin + size <= bytes.size(); size += 13) {
      uint64_t expected = 0;
      for (size_t i = 0; i < size; ++i) {
        expected += (2 * (i / 8) + 1) * (static_cast<uint64_t>(bytes[begin + i]) << 8 * (i % 8));
      }
      ASSERT_EQ(wire_sum(std::span(bytes).subspan(begin, size)), expected) << begin << ", " << size;
    }
  }
}

std::vector<uint64_t> sums_of(const at::Tensor& tensor, const std::vector<int64_t>& offsets) {
  std::vector<uint64_t> sums;
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    sums.push_back(wire_sum(bytes_of(tensor).subspan(
        static_cast<size_t>(offsets[i]), static_cast<size_t>(offsets[i + 1] - offsets[i]))));
  }
  return sums;
}

TEST(WireSum, AsTensorOperationsIsTheSame) {
#ifdef KVCOMM_NVCC
  GTEST_SKIP() << "this build's kernel sums a GPU's memory alone";
#endif
  const auto expect_same = [](const at::Tensor& tensor, const std::vector<int64_t>& offsets) {
    const at::Tensor got = wire_sums_on_device(tensor, offsets);
    const auto* begin = reinterpret_cast<const uint64_t*>(got.const_data_ptr<int64_t>());
    EXPECT_EQ(std::vector(begin, begin + got.numel()), sums_of(tensor, offsets));
  };
  expect_same(at::randn({75, 3, 5}).to(at::kBFloat16), {0, 0, 30, 90, 300, 2250});
  const int64_t words = (int64_t{1} << 22) + 3;  // two pieces
  expect_same(at::randint(-1000, 1000, {words}, at::kLong), {0, 8 * words});
}

TEST(WireSum, SeesSwapsAndFlippedBits) {
  const at::Tensor kv = at::randn({6, 4, 8}).to(at::kBFloat16);  // tokens, heads, head_dim
  const uint64_t sum = wire_sum(bytes_of(kv));
  const auto swapped = [&](int64_t dim) {
    at::Tensor order = at::arange(kv.size(dim));
    order[1] = 2;
    order[2] = 1;
    return kv.index_select(dim, order);
  };
  EXPECT_NE(wire_sum(bytes_of(swapped(0))), sum) << "two tokens";
  EXPECT_NE(wire_sum(bytes_of(swapped(1))), sum) << "two heads";
  for (size_t bit = 0; bit < kv.nbytes() * 8; bit += 37) {
    at::Tensor flipped = kv.clone();
    static_cast<uint8_t*>(flipped.mutable_data_ptr())[bit / 8] ^=
        static_cast<uint8_t>(1 << bit % 8);
    EXPECT_NE(wire_sum(bytes_of(flipped)), sum) << "bit " << bit;
  }
}

TEST(Message, HeadersAndTrailersComeBackAsTheyWere) {
  Header header = script()[2];
  header.failure = "no memory";
  const Header back = decode_header(encode(header));
  EXPECT_EQ(encode(back), encode(header));
  EXPECT_EQ(back.samples[2].rows, 9);
  EXPECT_EQ(back.tensors[0].row_shape, (std::vector<int64_t>{3, 5}));
  EXPECT_TRUE(back.tensors[1].first_row_only);
  EXPECT_FALSE(back.tensors[2].first_row_only);
  EXPECT_EQ(back.failure, "no memory");

  const Trailer trailer{1.5, 0.75, 0.25, 3e-9, 42.5, 99, {1, ~uint64_t{0}}, "lost"};
  const Trailer again = decode_trailer(encode(trailer));
  EXPECT_EQ(again.sender_decode_s, 0.75);
  EXPECT_EQ(again.hidden_s, 3e-9);
  EXPECT_EQ(again.sender_joules, 42.5);
  EXPECT_EQ(again.sums, trailer.sums);
  EXPECT_EQ(again.failure, "lost");
  EXPECT_EQ(decode_answer(encode_answer("busy")), "busy");
}

TEST(Message, SizesDependOnShapesAloneNotOnValues) {
  Header small = kv_header({0, 1}), large = small;
  large.task = ~uint64_t{0};
  large.cell = large.attempt = 4000000000;
  large.samples[0] = {3000000000, 64000};
  EXPECT_EQ(encode(small).size(), encode(large).size());
}

TEST(Message, WhatCannotBeReadIsAnError) {
  const std::string good = encode(kv_header({0}));
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_THROW(decode_header(good.substr(0, length)), Error) << length;
  }
  EXPECT_THROW(decode_header(good + "x"), Error);
  std::string other_version = good;
  other_version[0] = 77;
  EXPECT_THAT(error_of([&] { decode_header(other_version); }), HasSubstr("version 77"));
}

TEST(Pipe, TheReceiverGetsTheVeryTensorsInOneProcess) {
  LoopbackPipe pipe;
  auto& [sender, receiver] = pipe;
  const Header header = kv_header({0, 3});
  const at::Tensor first = content(header, 0);
  OutgoingMessage message = sender.offer(header);
  message.put(first);
  for (size_t i = 1; i < 4; ++i) message.put(content(header, i));
  message.close({.prefill_s = 0.5});
  const Delivery delivery = receive_message(receiver, header);
  EXPECT_EQ(difference(header, delivery.tensors), "");
  EXPECT_EQ(delivery.tensors[0].const_data_ptr(), first.const_data_ptr());
  EXPECT_EQ(delivery.sender_prefill_s, 0.5);
  EXPECT_THAT(delivery.intact, ElementsAre(true, true, true));
}

TEST(Pipe, TheSenderMayRunSeveralMessagesAhead) {
  LoopbackPipe pipe;
  for (const Header& header : script()) send_message(pipe.sender, header);
  for (const Header& header : script()) {
    EXPECT_EQ(difference(header, receive_message(pipe.receiver, header).tensors), "");
  }
}

TEST(Pipe, SeveralMessagesMayBeOpenAtTheReceiver) {
  LoopbackPipe pipe;
  auto& [sender, receiver] = pipe;
  const Header first = kv_header({0}), second = token_header();
  EXPECT_FALSE(receiver.poll(expectation(first)).has_value());
  send_message(sender, first);
  send_message(sender, second);
  IncomingMessage one = receiver.next(expectation(first));
  IncomingMessage two = receiver.next(expectation(second));
  EXPECT_THAT(error_of([&] { two.accept(); }), HasSubstr("not the next to be answered"));
  EXPECT_THAT(error_of([&] { one.take(); }), HasSubstr("not accepted"));
  one.accept();
  two.accept();
  EXPECT_TRUE(two.complete());
  EXPECT_EQ(difference(second, two.take().tensors), "");
  EXPECT_EQ(difference(first, one.take().tensors), "");
  EXPECT_THAT(error_of([&] { one.take(); }), HasSubstr("over"));
}

TEST(Pipe, ADroppedMessageIsRefusedOrTakenAndTheNextOneComes) {
  for (const bool accepted : {false, true}) {
    LoopbackPipe pipe;
    auto& [sender, receiver] = pipe;
    send_message(sender, kv_header({0}));
    send_message(sender, token_header());
    {
      IncomingMessage message = receiver.next(expectation(kv_header({0})));
      if (accepted) message.accept();
    }
    EXPECT_EQ(difference(token_header(), receive_message(receiver, token_header()).tensors), "");
    EXPECT_EQ(receiver.ledger().of(PayloadKind::kKv).payload,
              accepted ? payload_bytes(kv_header({0})) : 0);
  }
}

TEST(Pipe, ChangedAfterPutIsSeenBySumsInThatSampleAlone) {
  LoopbackPipe pipe;
  const Header header = kv_header({0});
  at::Tensor k = content(header, 0);
  OutgoingMessage message = pipe.sender.offer(header);
  message.put(k);
  message.put(content(header, 1));
  message.close({});
  k[4] += 1;  // the only row of the second sample
  EXPECT_THAT(receive_message(pipe.receiver, header).intact, ElementsAre(true, false, true));
}

TEST(Pipe, WithoutChecksumsNothingIsSummedAndNothingIsSeen) {
  LoopbackPipe pipe({.checksums = false});
  const Header header = kv_header({0});
  OutgoingMessage message = pipe.sender.offer(header);
  std::vector<at::Tensor> tensors{content(header, 0), content(header, 1)};
  for (const at::Tensor& tensor : tensors) message.put(tensor);
  tensors[0].zero_();
  message.close({});
  EXPECT_THAT(receive_message(pipe.receiver, header).intact, ElementsAre(true, true, true));

  LoopbackPipe with_sums;
  send_message(with_sums.sender, header);
  const auto sums = header.samples.size() * header.tensors.size() * sizeof(uint64_t);
  EXPECT_EQ(with_sums.sender.ledger().total().header, pipe.sender.ledger().total().header + sums);
}

TEST(Pipe, ARefusedMessageIsSkippedAndTheNextOneComes) {
  LoopbackPipe pipe;
  send_message(pipe.sender, kv_header({0}));
  send_message(pipe.sender, token_header());
  pipe.receiver.next(expectation(kv_header({0}))).refuse("no memory");
  EXPECT_EQ(difference(token_header(), receive_message(pipe.receiver, token_header()).tensors), "");
}

// The second has the very header of the first.
TEST(Pipe, AfterARefusalTheNextMessageIsTakenNotTheRefusedOne) {
  LoopbackPipe pipe;
  const Header header = kv_header({0});
  send_message(pipe.sender, header);
  OutgoingMessage other = pipe.sender.offer(header);
  for (size_t i = 0; i < 2; ++i) other.put(content(header, i) + 1);
  other.close({});
  pipe.receiver.next(expectation(header)).refuse("no memory");
  const Delivery delivery = receive_message(pipe.receiver, header);
  EXPECT_TRUE(at::equal(delivery.tensors[0], content(header, 0) + 1));
  EXPECT_THAT(delivery.intact, ElementsAre(true, true, true));
}

TEST(Pipe, AbandonedMessagesArriveWholeAndFailed) {
  LoopbackPipe pipe;
  auto& [sender, receiver] = pipe;
  const Header header = kv_header({0, 3});
  EXPECT_FALSE(sender.settle("nothing is open"));
  {
    OutgoingMessage message = sender.offer(header);
    message.put(content(header, 0));
    EXPECT_FALSE(sender.settle("it is not abandoned yet"));
  }
  EXPECT_TRUE(sender.settle("out of memory in layer 1"));
  EXPECT_FALSE(sender.settle("it is settled"));
  const Delivery delivery = receive_message(receiver, header);
  EXPECT_THAT(delivery.intact, ElementsAre(false, false, false));
  EXPECT_EQ(delivery.failure, "out of memory in layer 1");
  EXPECT_EQ(receiver.ledger().total(), sender.ledger().total());
  EXPECT_EQ(receiver.ledger().total().payload, payload_bytes(header));
}

TEST(Pipe, AnAbandonedMessageThatNobodySettledFailsBeforeTheNext) {
  LoopbackPipe pipe;
  auto& [sender, receiver] = pipe;
  static_cast<void>(sender.offer(kv_header({0})));
  send_message(sender, token_header());
  EXPECT_NE(receive_message(receiver, kv_header({0})).failure, "");
  EXPECT_EQ(difference(token_header(), receive_message(receiver, token_header()).tensors), "");
}

TEST(Pipe, ASenderThatFailsBeforeItsMessageSaysSo) {
  LoopbackPipe pipe;
  auto& [sender, receiver] = pipe;
  Header header = kv_header({0});
  header.tensors.clear();
  header.failure = "the prompt is too long";
  sender.offer(header);
  EXPECT_EQ(receiver.next(expectation(header)).header().failure, "the prompt is too long");
  EXPECT_FALSE(receiver.broken());
  send_message(sender, token_header());
  EXPECT_EQ(difference(token_header(), receive_message(receiver, token_header()).tensors), "");
}

TEST(Pipe, PutsThatDoNotFitTheHeaderAreRefused) {
  LoopbackPipe pipe;
  const Header header = kv_header({0}, at::kFloat);
  OutgoingMessage message = pipe.sender.offer(header);
  EXPECT_THAT(error_of([&] { message.put(at::zeros({14, 3, 4})); }), HasSubstr("[14, 3, 5]"));
  EXPECT_THAT(error_of([&] { message.put(at::zeros({14, 3, 5}, at::kHalf)); }), HasSubstr("Half"));
  EXPECT_THAT(error_of([&] {
                message.put(at::zeros({3, 14, 5}).transpose(0, 1));
              }),
              HasSubstr("not contiguous"));
  EXPECT_THAT(error_of([&] { message.close({}); }), HasSubstr("after 0 of its 2 tensors"));
  EXPECT_THAT(error_of([&] { pipe.sender.offer(header); }), HasSubstr("out of turn"));
  EXPECT_THAT(error_of([&] { pipe.sender.flush(); }), HasSubstr("out of turn"));
  EXPECT_FALSE(pipe.sender.broken());
}

TEST(Throttled, PayloadLeavesNoFaster) {
  auto ends = LoopbackTransport::make();
  ends.sender = std::make_unique<Throttled>(std::move(ends.sender), 1e6);
  LoopbackPipe pipe(std::move(ends), {});
  Header header = kv_header({0, 1}, at::kFloat);
  header.samples = {{0, 420}};  // 100,800 bytes
  const Stopwatch watch;
  send_message(pipe.sender, header);
  send_message(pipe.sender, header);
  EXPECT_GE(watch.elapsed_s(), 2 * 0.1008);
  EXPECT_LT(watch.elapsed_s(), 2 * 0.2);
  for (int i = 0; i < 2; ++i) {
    const Delivery delivery = receive_message(pipe.receiver, header);
    EXPECT_EQ(difference(header, delivery.tensors), "");
    EXPECT_GE(delivery.wire.exposed_s + delivery.wire.hidden_s, 0.1008);
  }
}

// What a fault in a header, an answer or a trailer does must be an error, never a result.
TEST(Faulty, ANoteThatIsNotTheSendersIsAnError) {
  const auto flipped = [](ControlMessage wanted, size_t byte) {
    return Fault{.note = [=](ControlMessage kind, std::string bytes) {
      if (kind == wanted) bytes.at(byte) ^= 1;
      return std::optional(std::move(bytes));
    }};
  };
  const auto receive = [&](const Fault& fault) {
    auto ends = LoopbackTransport::make();
    ends.sender = std::make_unique<Faulty>(std::move(ends.sender), fault);
    LoopbackPipe pipe(std::move(ends), {.timeout_s = 0.05});
    send_message(pipe.sender, kv_header({0}));
    const Delivery delivery = receive_message(pipe.receiver, kv_header({0}));
    if (!std::ranges::all_of(delivery.intact, std::identity{})) {
      fail(Exit::kSomeFailed, "It is not intact.");
    }
  };
  receive({});
  const size_t header = encode(kv_header({0})).size(), trailer = encode(Trailer{}).size();
  for (size_t byte = 0; byte < 21; ++byte) {  // version to kind
    EXPECT_NE(error_of([&] { receive(flipped(ControlMessage::kHeader, byte)); }), "") << byte;
  }
  EXPECT_NE(error_of([&] { receive(flipped(ControlMessage::kHeader, header - 1)); }), "");
  for (size_t byte = 40; byte < trailer; ++byte) {  // behind the times and joules
    EXPECT_NE(error_of([&] { receive(flipped(ControlMessage::kTrailer, byte)); }), "") << byte;
  }
  EXPECT_THAT(error_of([&] {
                receive({.note = [](ControlMessage kind, std::string bytes) {
                  return kind == ControlMessage::kTrailer ? std::nullopt : std::optional(bytes);
                }});
              }),
              HasSubstr("the end of the kv message"));
}

TEST(Ledger, CountsPayloadByKindLayerAndSample) {
  LoopbackPipe pipe;
  auto& [sender, receiver] = pipe;
  for (const Header& header : script()) send_message(sender, header);
  for (const Header& header : script()) receive_message(receiver, header);
  const Ledger& ledger = sender.ledger();
  EXPECT_EQ(ledger.total(), receiver.ledger().total());
  EXPECT_EQ(ledger.trace(), receiver.ledger().trace());

  const uint64_t row = 3 * 5;
  const uint64_t first = 2 * 2 * 14 * row * 2, release = 2 * row * 4 * (3 + 2 * 14);
  const uint64_t half = 2 * 14 * row * 2;
  EXPECT_EQ(ledger.of(PayloadKind::kKv).payload, first + release + half);
  EXPECT_EQ(ledger.of(PayloadKind::kTokens).payload, 8u * 4);
  EXPECT_EQ(ledger.total().payload, first + release + half + 32);
  EXPECT_EQ(ledger.kv_by_layer().at({2, 3}), first / 2);
  EXPECT_EQ(ledger.kv_by_layer().at({3, 0}), 2 * row * 4 * 3);
  EXPECT_EQ(ledger.of_sample(2, 12, 0).payload, 2 * 2 * 9 * row * 2 + 2 * 4);
  EXPECT_EQ(ledger.of_sample(2, 12, 1), Bytes{});
  EXPECT_EQ(ledger.of_sample(3, 12, 0).payload, 2 * row * 4 * (1 + 2 * 9));  // layer 0: first row
  EXPECT_THAT(ledger.trace()[2].layers, ElementsAre(0, 1, 5));
  EXPECT_THAT(ledger.kv_layers_of_sample(3, 12, 0),
              ElementsAre(2 * row * 4, 2 * 9 * row * 4, 0, 0, 0, 2 * 9 * row * 4));

  sender.forget_samples();
  EXPECT_EQ(ledger.of_sample(2, 12, 0), Bytes{});
  EXPECT_EQ(ledger.total(), receiver.ledger().total());
}

TEST(Ledger, SharesHeaderBytesOutWithoutLosingOne) {
  LoopbackPipe pipe;
  auto& [sender, receiver] = pipe;
  const Header header = kv_header({0, 3});
  send_message(sender, header);
  receive_message(receiver, header);
  std::vector<uint64_t> shares;
  for (const SampleRows& sample : header.samples) {
    shares.push_back(receiver.ledger().of_sample(2, sample.sample, 0).header);
  }
  const uint64_t all = receiver.ledger().total().header;
  EXPECT_EQ(shares[0] + shares[1] + shares[2], all);
  EXPECT_THAT(shares, ElementsAre((all + 2) / 3, (all + 1) / 3, all / 3));
}

}  // namespace
}  // namespace kvcomm::testing
