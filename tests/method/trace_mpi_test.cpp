// Over MPI, and over NCCL's logic with a double of its calls, on two ranks: every method's trace
// and answers are those of the loopback channel.
#include <c10/core/InferenceMode.h>

#include "comm/loopback_channel.h"
#include "comm/mpi_channel.h"
#include "comm/nccl_channel.h"
#include "tests/comm/nccl_double.h"
#include "tests/method/exchange.h"

namespace kvcomm::testing {
namespace {

class TraceOverRanks : public ::testing::Test {
 protected:
  // Every method in both fidelities.
  void expect_as_over_loopback(Channel& wire) {
    for (const Fidelity& fidelity : {Fidelity::paper(), Fidelity::release()}) {
      SCOPED_TRACE(fidelity.name);
      expect_as_over_loopback(wire, TinyPair(at::kFloat, fidelity));
    }
  }

  void expect_as_over_loopback(Channel& wire, const TinyPair& pair) {
    const bool sends = lane_.rank() == 0;
    uint32_t cell = 0;
    uint64_t seen = wire.ledger().total().total();
    for (const MethodSpec& spec : method_variants()) {
      SCOPED_TRACE(spec.label());
      const auto method = pair.method(spec);
      const ExchangeId turn{.task = 3, .cell = ++cell, .attempt = 1};
      auto [outgoing, incoming] = LoopbackChannel::make({.device = test_device()});
      const Exchange here = exchange(*method, pair, turn, outgoing.get(), incoming.get());
      const Exchange there =
          exchange(*method, pair, turn, sends ? &wire : nullptr, sends ? nullptr : &wire);
      EXPECT_EQ(wire.ledger().trace(), pair.declared(spec, turn));
      EXPECT_EQ(wire.ledger().trace(), outgoing->ledger().trace());
      EXPECT_EQ(wire.ledger().total().total() - seen, outgoing->ledger().total().total());
      seen = wire.ledger().total().total();
      wire.forget_samples();
      if (!sends) {
        EXPECT_EQ(pair.answers(there.requests), pair.answers(here.requests));
      }
    }
    EXPECT_GT(seen, 0u);
  }

  ChannelOptions options() const {
    return {.device = test_device(), .timeout_s = 30, .peer = "the other rank"};
  }

  c10::InferenceMode guard_;
  Communicator lane_ = Communicator::world();
};

TEST_F(TraceOverRanks, Mpi) {
  MpiChannel wire(lane_, 1 - lane_.rank(), options());
  expect_as_over_loopback(wire);
}

TEST_F(TraceOverRanks, Nccl) {
  if (!test_device().is_cpu()) GTEST_SKIP() << "the double moves tensors of the host";
  NcclDouble nccl(lane_);
  NcclChannel wire(lane_, nccl, 1 - lane_.rank(), options());
  expect_as_over_loopback(wire);
  EXPECT_NE(nccl.calls, "");
}

}  // namespace
}  // namespace kvcomm::testing
