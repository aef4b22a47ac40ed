// Who stands where: lanes of a world, and a rank's seat in its lane.
#include "lane/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace kvcomm::testing {
namespace {

using ::testing::HasSubstr;

using Lanes = std::vector<std::vector<int>>;

// Each lane's ranks, the receiver last.
Lanes lanes(const std::vector<int>& nodes, Placement placement, int senders = 1) {
  Lanes all;
  for (const LaneRanks& lane : make_lanes(nodes, placement, senders)) all.push_back(lane.all());
  return all;
}

TEST(Topology, PackPutsALanesEndsOnOneNode) {
  EXPECT_EQ(lanes({0, 0, 0, 0}, Placement::kPack), (Lanes{{0, 1}, {2, 3}}));
  EXPECT_EQ(lanes({0, 1, 0, 1}, Placement::kPack), (Lanes{{0, 2}, {1, 3}}));  // round robin
  EXPECT_EQ(lanes({0, 0, 0, 3, 3, 3}, Placement::kPack, 2), (Lanes{{0, 1, 2}, {3, 4, 5}}));
}

TEST(Topology, SpreadPutsThemFarApart) {
  EXPECT_EQ(lanes({0, 0, 2, 2}, Placement::kSpread), (Lanes{{0, 2}, {1, 3}}));
  EXPECT_EQ(lanes({0, 0, 2, 2, 4, 4}, Placement::kSpread, 2), (Lanes{{0, 2, 4}, {1, 3, 5}}));
}

TEST(Topology, ColocateAndAWorldOfOneMakeEveryRankALane) {
  EXPECT_EQ(lanes({0, 0, 2}, Placement::kColocate), (Lanes{{0}, {1}, {2}}));
  EXPECT_EQ(lanes({0}, Placement::kPack, 3), (Lanes{{0}}));
  EXPECT_TRUE(make_lanes({0}, Placement::kPack, 1).front().is_one_rank());
}

TEST(Topology, ASeatKnowsItsLaneItsRoleAndItsPeers) {
  const Layout layout{.lanes = make_lanes({0, 0, 0, 3, 3, 3}, Placement::kPack, 2),
                      .hosts = {"a", "a", "a", "b", "b", "b"}};
  const Seat receiver = seat_of(layout, 5, {}, "cpu");
  EXPECT_EQ(receiver.lane, 1);
  EXPECT_EQ(receiver.role, Role::kReceiver);
  EXPECT_EQ(receiver.rank_in_lane(), 2);
  EXPECT_EQ(receiver.peers(), (std::vector<int>{0, 1}));
  EXPECT_EQ(receiver.world_ranks, (std::vector<int>{3, 4, 5}));
  EXPECT_EQ(receiver.names.front(), "rank 3 (sender of lane 1) on b");
  EXPECT_EQ(receiver.names.back(), "rank 5 (receiver of lane 1) on b");
  const Seat sender = seat_of(layout, 4, {}, "cpu");
  EXPECT_EQ(sender.role, Role::kSender);
  EXPECT_EQ(sender.rank_in_lane(), 1);
  EXPECT_EQ(sender.peers(), (std::vector<int>{2}));
  EXPECT_EQ(sender.transport, "mpi");
  const Seat alone =
      seat_of({.lanes = make_lanes({0}, Placement::kPack, 1), .hosts = {"a"}}, 0, {}, "cpu");
  EXPECT_EQ(alone.role, Role::kBoth);
  EXPECT_EQ(alone.transport, "loopback");
  EXPECT_TRUE(alone.peers().empty());
}

TEST(Topology, AWorldWithoutWholeLanesIsRefusedWithTheCure) {
  const auto refusal = [](int size, int senders) -> std::string {
    try {
      check_world(size, Placement::kPack, senders);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kUsage);
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal(3, 1), HasSubstr("mpirun -np 4"));
  EXPECT_THAT(refusal(4, 2), HasSubstr("mpirun -np 6"));
  EXPECT_EQ(refusal(4, 1), "");
  EXPECT_EQ(refusal(6, 2), "");
  EXPECT_EQ(refusal(1, 2), "");
  EXPECT_NO_THROW(check_world(3, Placement::kColocate, 1));
}

}  // namespace
}  // namespace kvcomm::testing
