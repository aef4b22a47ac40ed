// What many ranks found as one check, and what is printed of it.
#include "doctor/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/look.h"

namespace kvcomm::doctor {
namespace {

using ::testing::HasSubstr;

Check check(Status status, const std::string& found, const std::string& cure = "") {
  return {.name = "cores", .status = status, .found = found, .cure = cure};
}

TEST(Merged, AlikeFindingsAreToldOnce) {
  const auto all = merged(
      {{0, "a", {check(Status::kOk, "2 cores")}}, {1, "b", {check(Status::kOk, "2 cores")}}});
  ASSERT_EQ(all.size(), 1);
  EXPECT_EQ(all.front().found, "2 cores");
}

TEST(Merged, TheWorstDecidesAndItsRanksAreNamed) {
  const auto all = merged({{0, "a", {check(Status::kOk, "2 cores")}},
                           {1, "a", {check(Status::kWarning, "1 core", "bind none")}},
                           {3, "b", {check(Status::kFailed, "no core", "ask for one")}}});
  ASSERT_EQ(all.size(), 1);
  EXPECT_EQ(all.front().status, Status::kFailed);
  EXPECT_EQ(all.front().found, "rank 3 on b: no core");
  EXPECT_EQ(all.front().cure, "ask for one");
}

TEST(Merged, ManyRanksAreCounted) {
  std::vector<RankChecks> ranks;
  for (int rank = 0; rank < 128; ++rank) {
    ranks.push_back({rank, "a", {check(Status::kWarning, rank == 0 ? "1 core" : "2 cores")}});
  }
  EXPECT_EQ(merged(ranks).front().found,
            "rank 0 on a: 1 core; rank 1 on a, rank 2 on a, rank 3 on a, rank 4 on a, 123 more: "
            "2 cores");
}

TEST(Text, ALineEachAndThenTheCures) {
  EXPECT_EQ(to_text({{"mpi", Status::kOk, "Open MPI", ""},
                     {"free space", Status::kFailed, "0.1 GB", "Free 1 GB."}}),
            "mpi         ok       Open MPI\n"
            "free space  failed   0.1 GB\n"
            "\n"
            "free space: Free 1 GB.\n");
}

TEST(Json, HasTheCodeAndReadsBack) {
  const Check given = check(Status::kFailed, "no core", "ask for one");
  const auto json = nlohmann::json::parse(to_json_text({given}));
  EXPECT_EQ(json.at("exit_code"), 4);
  const Check read = json.at("checks").at(0).get<Check>();
  EXPECT_EQ(read.name, given.name);
  EXPECT_EQ(read.status, given.status);
  EXPECT_EQ(read.found, given.found);
  EXPECT_EQ(read.cure, given.cure);
  EXPECT_EQ(nlohmann::json::parse(to_json_text({check(Status::kWarning, "")})).at("exit_code"), 0);
}

TEST(Look, OneThatThrowsOrHangsHasFailedWithItsCure) {
  const auto seen = look_at({{"quick", "", [] { return Seen{.check = {.found = "seen"}}; }},
                             {"throws", "mend it", []() -> Seen { fail(Exit::kUsage, "broken"); }},
                             {"hangs", "free it",
                              [] {
                                std::this_thread::sleep_for(std::chrono::seconds(600));
                                return Seen{};
                              },
                              0.05}});
  ASSERT_EQ(seen.size(), 3);
  EXPECT_EQ(seen[0].check.name, "quick");
  EXPECT_EQ(seen[0].check.status, Status::kOk);
  EXPECT_EQ(seen[1].check.status, Status::kFailed);
  EXPECT_EQ(seen[1].check.found, "broken");
  EXPECT_EQ(seen[2].check.status, Status::kFailed);
  EXPECT_THAT(seen[2].check.found, HasSubstr("did not end"));
  EXPECT_EQ(seen[2].check.cure, "free it");
}

TEST(Watchdog, BarksInTimeUnlessCalledOff) {
  std::atomic<int> barks = 0;
  {
    const auto dog = watchdog(600, [&] { ++barks; });
  }
  EXPECT_EQ(barks, 0);
  const auto dog = watchdog(0.01, [&] { ++barks; });
  const Stopwatch watch;
  while (barks == 0 && watch.elapsed_s() < 10) std::this_thread::yield();
  EXPECT_EQ(barks, 1);
}

}  // namespace
}  // namespace kvcomm::doctor
