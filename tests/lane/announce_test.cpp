// What a user reads when a sweep starts.
#include "lane/announce.h"

#include <gmock/gmock.h>

namespace kvcomm::testing {
namespace {

using ::testing::ElementsAre;

ShownSeat seat(int lane, Role role, const std::string& host, const std::string& device = "cpu",
               const std::string& transport = "mpi", int threads = 4) {
  return {lane, role, host, device, transport, threads};
}

TEST(PlacesTest, AWorldOfOneIsOneProcess) {
  EXPECT_THAT(seat_lines({seat(0, Role::kBoth, "box", "cpu", "loopback", 1)}),
              ElementsAre("Lane 0: one process plays both ends (cpu, 1 thread on box)."));
}

TEST(PlacesTest, SeveralSendersAreNamedEach) {
  ShownSeat alone = seat(0, Role::kBoth, "box", "cpu", "loopback", 1);
  alone.senders = 2;
  EXPECT_THAT(seat_lines({alone}),
              ElementsAre("Lane 0: one process plays all ends (cpu, 1 thread on box)."));
  EXPECT_THAT(seat_lines({seat(0, Role::kSender, "a", "cpu", "mpi"),
                          seat(0, Role::kSender, "b", "cpu", "mpi"),
                          seat(0, Role::kReceiver, "b", "cpu", "mpi")}),
              ElementsAre("Lane 0: senders are rank 0 (cpu, 4 threads on a) and rank 1 (cpu, 4 "
                          "threads on b), receiver rank 2 (cpu, 4 threads on b), by mpi."));
}

TEST(PlacesTest, FewLanesHaveALineEach) {
  EXPECT_THAT(seat_lines({seat(0, Role::kSender, "a", "cuda:0", "nccl"),
                          seat(1, Role::kSender, "a", "cuda:1", "nccl"),
                          seat(0, Role::kReceiver, "b", "cuda:0", "nccl"),
                          seat(1, Role::kReceiver, "b", "cuda:1", "nccl")}),
              ElementsAre("Lane 0: sender is rank 0 (cuda:0, 4 threads on a), receiver rank 2 "
                          "(cuda:0, 4 threads on b), by nccl.",
                          "Lane 1: sender is rank 1 (cuda:1, 4 threads on a), receiver rank 3 "
                          "(cuda:1, 4 threads on b), by nccl."));
}

TEST(PlacesTest, ManyLanesAreSummedUp) {
  std::vector<ShownSeat> ranks;
  for (int rank = 0; rank < 40; ++rank) {
    ranks.push_back(seat(rank / 2, rank % 2 == 0 ? Role::kSender : Role::kReceiver,
                         "n" + std::to_string(rank / 8), "cuda:" + std::to_string(rank % 8),
                         "nccl"));
  }
  EXPECT_THAT(seat_lines(ranks),
              ElementsAre("20 lanes of a sender and a receiver: 40 ranks on 5 hosts (n0, n1, n2, "
                          "n3, ...), cuda, 4 threads each, by nccl."));
}

}  // namespace
}  // namespace kvcomm::testing
