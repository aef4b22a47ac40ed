// Two ranks talk through Communicator.
#include "comm/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <thread>

#include "base/error.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Deadline soon(Seconds timeout_s = 20) { return {timeout_s, "a test's message", "the other rank"}; }

class TwoRanks : public ::testing::Test {
 protected:
  Communicator comm_ = Communicator::world();
  const int me_ = comm_.rank();
  const int other_ = 1 - comm_.rank();
};

TEST_F(TwoRanks, MessagesOfAnyLengthArriveByTag) {
  const std::string large(5 << 20, 'x');  // far beyond what MPI sends eagerly
  if (me_ == 0) {
    comm_.send("first", 1, 5, soon());
    comm_.send("", 1, 6, soon());
    comm_.send(large, 1, 5, soon());
  } else {
    EXPECT_EQ(comm_.receive(0, 6, soon()).bytes, "");
    EXPECT_EQ(comm_.receive(Communicator::kAnySource, 5, soon()).bytes, "first");
    const Received last = comm_.receive(0, 5, soon());
    EXPECT_EQ(last.source, 0);
    EXPECT_TRUE(last.bytes == large);
  }
}

TEST_F(TwoRanks, PollDoesNotWait) {
  EXPECT_FALSE(comm_.poll(9).has_value());
  comm_.barrier(soon());
  comm_.send("hello", other_, 9, soon());
  std::optional<Received> received;
  soon().require([&] { return (received = comm_.poll(9)).has_value(); });
  EXPECT_EQ(received->bytes, "hello");
  EXPECT_EQ(received->source, other_);
}

TEST_F(TwoRanks, AWaitEndsAtItsDeadlineWithASentence) {
  Exit exit = Exit::kOk;
  std::string text;
  Stopwatch watch;
  try {
    comm_.receive(other_, 1, {0.05, "the row of sample 3", "rank 1 (receiver)"});
  } catch (const Error& error) {
    exit = error.exit();
    text = error.what();
  }
  EXPECT_EQ(exit, Exit::kEnvironment);
  EXPECT_THAT(text, HasSubstr("0.05 s for the row of sample 3 from rank 1 (receiver)"));
  EXPECT_THAT(text, HasSubstr("run.timeout_s"));
  EXPECT_LT(watch.elapsed_s(), 5);
}

TEST_F(TwoRanks, WaitingSleeps) {
  const std::clock_t before = std::clock();
  EXPECT_FALSE(Deadline(0.5, "", "").wait([&] { return comm_.poll(3).has_value(); }));
  const double cpu_s = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(cpu_s, 0.25) << "of 0.5 s";
}

TEST_F(TwoRanks, AllGatherGivesEveryRanksText) {
  const auto texts = comm_.all_gather(me_ == 0 ? "" : "a longer text", soon());
  EXPECT_THAT(texts, ElementsAre("", "a longer text"));
}

TEST_F(TwoRanks, SplitsAndDuplicatesAreWorldsOfTheirOwn) {
  const Communicator reversed = comm_.split(0, -me_);
  EXPECT_EQ(reversed.size(), 2);
  EXPECT_EQ(reversed.rank(), other_);
  EXPECT_EQ(comm_.split(me_, 0).size(), 1);
  EXPECT_EQ(comm_.split_by_node().size(), 2);
  Communicator copy = comm_.duplicate();
  copy.send("in the copy", other_, 1, soon());
  comm_.send("in the original", other_, 1, soon());
  EXPECT_EQ(comm_.receive(other_, 1, soon()).bytes, "in the original");
  EXPECT_EQ(copy.receive(other_, 1, soon()).bytes, "in the copy");
}

TEST_F(TwoRanks, ErrorsOfTheLibraryBecomeSentences) {
  std::string text;
  try {
    comm_.send("to nobody", 17, 1, soon());
  } catch (const Error& error) {
    text = error.what();
  }
  EXPECT_THAT(text, HasSubstr("MPI_Isend failed"));
  EXPECT_THAT(text, HasSubstr("MPI_ERR_RANK"));
}

TEST_F(TwoRanks, ThreadsMayShareACommunicator) {
  const auto talk = [&](int tag) {
    for (int i = 0; i < 200; ++i) {
      comm_.send(std::to_string(tag * 1000 + i), other_, tag, soon());
      ASSERT_EQ(comm_.receive(other_, tag, soon()).bytes, std::to_string(tag * 1000 + i));
    }
  };
  std::thread second(talk, 2);
  talk(1);
  second.join();
}

}  // namespace
}  // namespace kvcomm::testing
