// What a user reads while a sweep starts and runs.
#include "sweep/progress.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "base/log.h"
#include "sweep/announce.h"

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;

TEST(ProgressTest, NothingIsSaidOfARateBeforeThereIsOne) {
  const Progress progress(240);
  EXPECT_EQ(progress.line(5), "0/240 answers, 0 failed, 0.0 MB sent, 5 s gone");
}

TEST(ProgressTest, RateAndTimeLeftFollowFromTheAnswersSoFar) {
  Progress progress(240);
  progress.add(60, 2, 1'500'000);
  EXPECT_EQ(progress.line(20),
            "60/240 answers, 3.0 a second, 2 failed, 1.5 MB sent, 20 s gone, about 60 s left");
}

TEST(ProgressTest, TheLastLineSaysNothingOfTimeLeft) {
  Progress progress(10);
  progress.add(10, 0, 0);
  EXPECT_EQ(progress.line(4), "10/10 answers, 2.5 a second, 0 failed, 0.0 MB sent, 4 s gone");
}

Seat seat(int lane, Role role, const std::string& host, const std::string& device = "cpu",
          const std::string& transport = "mpi", int threads = 4) {
  return {lane, role, host, device, transport, threads};
}

TEST(PlacesTest, AWorldOfOneIsOneProcess) {
  EXPECT_THAT(place_lines({seat(0, Role::kBoth, "box", "cpu", "loopback", 1)}),
              ElementsAre("Lane 0: one process plays both ends (cpu, 1 thread on box)."));
}

TEST(PlacesTest, FewLanesHaveALineEach) {
  EXPECT_THAT(place_lines({seat(0, Role::kSender, "a", "cuda:0", "nccl"),
                           seat(1, Role::kSender, "a", "cuda:1", "nccl"),
                           seat(0, Role::kReceiver, "b", "cuda:0", "nccl"),
                           seat(1, Role::kReceiver, "b", "cuda:1", "nccl")}),
              ElementsAre("Lane 0: sender is rank 0 (cuda:0, 4 threads on a), receiver rank 2 "
                          "(cuda:0, 4 threads on b), by nccl.",
                          "Lane 1: sender is rank 1 (cuda:1, 4 threads on a), receiver rank 3 "
                          "(cuda:1, 4 threads on b), by nccl."));
}

TEST(PlacesTest, ManyLanesAreSummedUp) {
  std::vector<Seat> ranks;
  for (int rank = 0; rank < 40; ++rank) {
    ranks.push_back(seat(rank / 2, rank % 2 == 0 ? Role::kSender : Role::kReceiver,
                         "n" + std::to_string(rank / 8), "cuda:" + std::to_string(rank % 8),
                         "nccl"));
  }
  EXPECT_THAT(place_lines(ranks),
              ElementsAre("20 lanes of a sender and a receiver: 40 ranks on 5 hosts (n0, n1, n2, "
                          "n3, ...), cuda, 4 threads each, by nccl."));
}

// Sets a variable of the environment for a test.
class With {
 public:
  With(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~With() { unsetenv(name_); }

 private:
  const char* name_;
};

TEST(TerminalTest, ALauncherSaysHowWideItsTerminalIs) {
  const With term("TERM", "xterm");
  {
    const With told("KVCOMM_TERMINAL", "132");
    EXPECT_EQ(terminal_columns(), 132);
  }
  const With told("KVCOMM_TERMINAL", "yes");
  EXPECT_EQ(terminal_columns(), 80);
}

TEST(TerminalTest, ADumbTerminalIsNone) {
  const With term("TERM", "dumb");
  const With told("KVCOMM_TERMINAL", "132");
  EXPECT_EQ(terminal_columns(), 0);
}

}  // namespace
}  // namespace kvcomm::testing
