// Simulated lanes: the coordinator's own work, and time that adds up.
#include "schedule/simulate.h"

#include <gtest/gtest.h>

#include "tests/plan/plan_fixture.h"

namespace kvcomm::testing {
namespace {

constexpr uint64_t kAnswers = 4 * 4;  // samples; baseline, kvcomm, random, contiguous

class SimulateTest : public PlanTest {
 protected:
  // Each sample takes its sender 2 s for a context that its cells share, and its receiver 3 s.
  Simulation simulated(const SimulatedLanes& lanes) {
    Plan planned = plan({"run.output=\"" + (root() / "out").string() + "\""});
    planned.pairs[0].batch = 1;
    Effort effort{.cells = {}, .load_s = {kLoad_s}};
    for (const Cell& cell : planned.cells) {
      const bool shares = shares_layers(cell.spec);
      effort.cells.emplace_back(4, ExchangeSeconds{.context = shares ? 2.0 : 0, .answering = 3});
    }
    const Simulation result =
        simulate(planned, effort, lanes, root() / std::to_string(++simulations_));
    const Seconds parts_s = result.answering_s + result.calibrating_s + result.first_loads_s +
                            result.later_loads_s + result.waiting_s + result.tail_s;
    EXPECT_NEAR(parts_s, result.all_s(), 1e-6);
    EXPECT_EQ(result.answers, kAnswers);
    EXPECT_GT(result.coordinator_s, 0);
    return result;
  }

  static constexpr Seconds kLoad_s = 7;
  int simulations_ = 0;
};

TEST_F(SimulateTest, OneRankForBothEndsDoesAllOneAfterTheOther) {
  const Simulation result = simulated({.lanes = 1, .colocate = true});
  EXPECT_DOUBLE_EQ(result.calibrating_s, 2 + 3);
  EXPECT_DOUBLE_EQ(result.answering_s, 4 * (2 + 4 * 3));  // a context is read once for its cells
  EXPECT_DOUBLE_EQ(result.first_loads_s, kLoad_s);
  EXPECT_DOUBLE_EQ(result.busy(), 1);
  EXPECT_EQ(result.ranks, 1);
}

TEST_F(SimulateTest, ASenderIsAheadOfItsReceiver) {
  const Simulation result = simulated({.lanes = 1});
  EXPECT_DOUBLE_EQ(result.answering_s, 4 * 4 * 3);  // what it reads, it reads meanwhile
  EXPECT_DOUBLE_EQ(result.ends_s, 4 * (2 + 4 * 3));
  EXPECT_EQ(result.ranks, 2);
}

TEST_F(SimulateTest, LanesShareAPairAndLoadItTogether) {
  const Simulation one = simulated({.lanes = 1}), two = simulated({.lanes = 2});
  EXPECT_LT(two.took_s, 0.75 * one.took_s);
  EXPECT_DOUBLE_EQ(two.first_loads_s, 2 * kLoad_s);
  EXPECT_EQ(two.ranks, 4);
}

TEST_F(SimulateTest, LanesMayBeSlowOrLate) {
  const Simulation two = simulated({.lanes = 2});
  const Simulation slow = simulated({.lanes = 2, .unlike = {{.lanes = 1, .speed = 0.25}}});
  const Simulation late = simulated({.lanes = 2, .unlike = {{.lanes = 1, .late_s = 12}}});
  EXPECT_GT(slow.took_s, two.took_s);
  EXPECT_GT(late.took_s, two.took_s);
  // The lane that calibrates is late, and the other one waits for it.
  EXPECT_DOUBLE_EQ(late.waiting_s, two.waiting_s + 2 * 12);
}

}  // namespace
}  // namespace kvcomm::testing
