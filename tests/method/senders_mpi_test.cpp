// Two senders and a receiver on three ranks: each wire's trace is its sender's script, and answers
// are those of the same exchange within one process.
#include <c10/core/InferenceMode.h>

#include <array>

#include "comm/mpi_transport.h"
#include "tests/method/exchange.h"

namespace kvcomm::testing {
namespace {

constexpr size_t kSenders = 2;
constexpr int kReceiver = 2;  // its rank; a sender's is its number

class SendersOverRanks : public ::testing::Test {
 protected:
  SendersOverRanks() {
    if (lane_.rank() == kReceiver) {
      for (int sender = 0; sender < kReceiver; ++sender) {
        receivers_.push_back(std::make_unique<ReceiveEnd>(to(sender), options()));
        incoming_.push_back(receivers_.back().get());
      }
    } else {
      sender_.emplace(to(kReceiver), options());
      outgoing_[own()] = &*sender_;
    }
  }

  size_t own() const { return static_cast<size_t>(lane_.rank()); }
  EndOptions options() const { return {.timeout_s = 30, .peer = "the other rank"}; }
  std::unique_ptr<Transport> to(int rank) {
    return std::make_unique<MpiTransport>(MpiRoute{lane_, rank}, options());
  }

  c10::InferenceMode guard_;
  Communicator lane_ = Communicator::world();
  std::vector<std::unique_ptr<ReceiveEnd>> receivers_;
  std::optional<SendEnd> sender_;
  std::vector<SendEnd*> outgoing_ = std::vector<SendEnd*>(kSenders, nullptr);
  std::vector<ReceiveEnd*> incoming_;
};

TEST_F(SendersOverRanks, SendWhatTheirScriptsDeclare) {
  for (const Fidelity& fidelity : {Fidelity::paper(), Fidelity::release()}) {
    SCOPED_TRACE(fidelity.name);
    const TinyPair pair(at::kFloat, fidelity);
    std::array<std::vector<Ledger::Entry>, kSenders> traces;
    uint32_t cell = 0;
    for (const MethodSpec& spec : method_variants()) {
      const Profile profile = profile_of(spec, fidelity);
      if (profile.one_sender || profile.answers_at == End::kSender) continue;
      SCOPED_TRACE(spec.label());
      const auto method = pair.method(spec);
      const ExchangeId id{.task = 3, .cell = ++cell, .attempt = 1};
      LoopbackPipe first({.device = test_device()}), second({.device = test_device()});
      const Exchange here = exchange(*method, pair, id, {&first.sender, &second.sender},
                                     {&first.receiver, &second.receiver});
      EXPECT_EQ(first.sender.ledger().trace(), pair.declared(spec, id, 0));
      EXPECT_EQ(second.sender.ledger().trace(), pair.declared(spec, id, 1));
      const Exchange there = exchange(*method, pair, id, outgoing_, incoming_);
      for (size_t sender = 0; sender < kSenders; ++sender) {
        std::ranges::copy(pair.declared(spec, id, sender), std::back_inserter(traces[sender]));
      }
      if (incoming_.empty()) continue;
      EXPECT_EQ(pair.answers(there.requests), pair.answers(here.requests));
      for (const ReceivedSample& arrival : there.arrivals) {
        ASSERT_EQ(arrival.parts.size(), kSenders);
        EXPECT_EQ(arrival.context_tokens,
                  arrival.parts[0].context_tokens + arrival.parts[1].context_tokens);
      }
    }
    if (sender_) {
      sender_->flush();
      EXPECT_EQ(sender_->ledger().trace(), traces[own()]);
      sender_->forget_samples();
    }
    for (size_t wire = 0; wire < receivers_.size(); ++wire) {
      EXPECT_EQ(receivers_[wire]->ledger().trace(), traces[wire]);
      receivers_[wire]->forget_samples();
    }
  }
}

}  // namespace
}  // namespace kvcomm::testing
