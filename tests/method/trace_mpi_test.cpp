// Over MPI, and over NCCL's logic with a double of its calls, on two ranks: every method's trace
// and answers are those of the loopback.
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <iterator>

#include "comm/mpi_transport.h"
#include "comm/nccl_transport.h"
#include "tests/comm/nccl_double.h"
#include "tests/method/exchange.h"

namespace kvcomm::testing {
namespace {

class TraceOverRanks : public ::testing::Test {
 protected:
  // Rank 0's is the sending end.
  void expect_as_over_loopback(std::unique_ptr<Transport> transport) {
    if (lane_.rank() == 0) {
      SendEnd end(std::move(transport), options());
      expect_as_over_loopback(end, &end, nullptr);
    } else {
      ReceiveEnd end(std::move(transport), options());
      expect_as_over_loopback(end, nullptr, &end);
    }
  }

  // Every method in both fidelities, the sender as far ahead as it may be.
  void expect_as_over_loopback(PipeEnd& end, SendEnd* sender, ReceiveEnd* receiver) {
    for (const Fidelity& fidelity : {Fidelity::paper(), Fidelity::release()}) {
      SCOPED_TRACE(fidelity.name);
      const TinyPair pair(at::kFloat, fidelity);
      const uint64_t before = end.ledger().total().total();
      uint64_t expected = 0;
      std::vector<Ledger::Entry> trace;
      uint32_t cell = 0;
      for (const MethodSpec& spec : method_variants()) {
        SCOPED_TRACE(spec.label());
        const auto method = pair.method(spec);
        const ExchangeId id{.task = 3, .cell = ++cell, .attempt = 1};
        LoopbackPipe pipe({.device = test_device()});
        const Exchange here = exchange(*method, pair, id, &pipe.sender, &pipe.receiver);
        const Exchange there = exchange(*method, pair, id, sender, receiver);
        expected += pipe.sender.ledger().total().total();
        std::ranges::copy(pair.declared(spec, id), std::back_inserter(trace));
        EXPECT_EQ(pipe.sender.ledger().trace(), pair.declared(spec, id));
        if (receiver != nullptr) {
          EXPECT_EQ(pair.answers(there.requests), pair.answers(here.requests));
        }
      }
      if (sender != nullptr) sender->flush();
      EXPECT_EQ(end.ledger().trace(), trace);
      EXPECT_EQ(end.ledger().total().total() - before, expected);
      EXPECT_GT(expected, 0u);
      end.forget_samples();
    }
  }

  EndOptions options() const {
    return {.device = test_device(), .timeout_s = 30, .peer = "the other rank"};
  }

  c10::InferenceMode guard_;
  Communicator lane_ = Communicator::world();
  MpiRoute route_{lane_, 1 - lane_.rank()};
};

TEST_F(TraceOverRanks, Mpi) {
  expect_as_over_loopback(std::make_unique<MpiTransport>(route_, options()));
}

TEST_F(TraceOverRanks, Nccl) {
  if (!test_device().is_cpu()) GTEST_SKIP() << "the double moves tensors of the host";
  NcclDouble nccl(lane_);
  expect_as_over_loopback(std::make_unique<NcclTransport>(route_, nccl, options()));
  EXPECT_NE(nccl.calls, "");
}

}  // namespace
}  // namespace kvcomm::testing
