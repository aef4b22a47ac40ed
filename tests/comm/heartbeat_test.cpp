// Two ranks that hear of each other's life, until one of them gives no more signs of it.
#include "comm/heartbeat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "comm/mpi_transport.h"
#include "tests/comm/fixtures.h"
#include "tests/comm/over_ranks.h"

namespace kvcomm::testing {
namespace {

using ::testing::HasSubstr;

constexpr Seconds kTimeout_s = 1;  // so that hearts beat every quarter of it

class Hearts : public OverRanks {
 protected:
  Hearts() { heart_.emplace(lane_, std::set<int>{peer()}, kTimeout_s); }
  ~Hearts() override { lane_.barrier(soon()); }

  // Computes, and calls nothing of MPI; for how long the peer was silent at most.
  Seconds longest_silence(Seconds within_s) const {
    Seconds longest_s = 0;
    for (const Stopwatch watch; watch.elapsed_s() < within_s;) {
      longest_s = std::max(longest_s, heart_->silent_s(peer()));
      std::this_thread::yield();
    }
    return longest_s;
  }

  std::optional<Heartbeat> heart_;
};

TEST_F(Hearts, ARankThatComputesIsHeardOf) { EXPECT_LT(longest_silence(3), 1.5); }

TEST_F(Hearts, AfterItsEndARankIsSilentAndNobodyWaitsForTheOther) {
  if (is_sender()) {
    heart_.reset();
  } else {
    EXPECT_GT(longest_silence(3), 1.5);
  }
}

// A pipe between ranks of which one has no heart any more, though its tasks may take very long.
class PipeOfHearts : public Hearts {
 protected:
  PipeOfHearts() {
    EndOptions options = this->options(kTimeout_s);
    options.peer_silent_s = [this] { return heart_->silent_s(peer()); };
    open(std::make_unique<MpiTransport>(MpiRoute{lane_, peer()}, options), options);
  }
  ~PipeOfHearts() override { EXPECT_LT(watch_.elapsed_s(), 10); }

  Header header() const {
    Header header = token_header();
    header.samples.assign(1000, {10, 1});
    return header;
  }

 private:
  const Stopwatch watch_;
};

TEST_F(PipeOfHearts, ASenderThatIsGoneIsNamedByItsReceiver) {
  if (is_sender()) return heart_.reset();
  Expected expected = expectation(header());
  expected.samples = header().samples.size();
  EXPECT_THAT(error_of([&] { receiver_->next(expected); }),
              HasSubstr("for the header of the tokens message of task 7, cell 2 from rank 0 "
                        "(sender), which gave no sign of life"));
}

TEST_F(PipeOfHearts, AReceiverThatIsGoneIsNamedByItsSender) {
  if (!is_sender()) return heart_.reset();
  put_message(*sender_, header());
  EXPECT_THAT(error_of([&] { sender_->flush(); }),
              HasSubstr("for the answer to the header of the tokens message of task 7, cell 2, "
                        "attempt 0 from rank 1 (receiver), which gave no sign of life"));
}

}  // namespace
}  // namespace kvcomm::testing
