// What is made of facts that no test machine has: GPUs, nodes, drivers, networks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "doctor/cores.h"
#include "doctor/devices.h"
#include "doctor/folder.h"
#include "doctor/inputs.h"
#include "doctor/launch.h"
#include "doctor/wire.h"

namespace kvcomm::doctor {
namespace {

using ::testing::HasSubstr;

const Gpu kH100{
    .index = 0, .name = "H100", .pci = "0000:17:00.0", .uuid = "GPU-a", .capability = 90};

// Two ranks of two nodes, in all alike.
std::vector<RankFacts> two_nodes() {
  RankFacts first{.rank = 0, .host = "a", .node = 0, .cores = "0-3", .memory_bytes = 80};
  RankFacts second = first;
  second.rank = second.node = 1;
  second.host = "b";
  return {first, second};
}

TEST(Facts, CrossAsJson) {
  RankFacts facts = two_nodes().back();
  facts.gpu = kH100;
  facts.files["the weights of m"] = "1f";
  const RankFacts read = nlohmann::json::parse(nlohmann::json(facts).dump()).get<RankFacts>();
  EXPECT_EQ(read.host, "b");
  EXPECT_EQ(read.files, facts.files);
  EXPECT_EQ(read.gpu->uuid, "GPU-a");
}

TEST(Signals, TheBlockedOnesAreRead) {
  EXPECT_EQ(blocked_signals("Name:\tx\nSigBlk:\t0000000000000a00\nSigIgn:\t01\n"),
            (std::vector<int>{SIGUSR1, SIGUSR2}));
  EXPECT_TRUE(blocked_signals("Name:\tx\n").empty());
}

TEST(Cores, ListsAreRead) {
  EXPECT_EQ(cores_of("0-2,8"), (std::set<int>{0, 1, 2, 8}));
  EXPECT_TRUE(cores_of("").empty());
}

TEST(Cores, ARankThatIsBoundToFewerThanItsThreadsIsNamed) {
  auto ranks = two_nodes();
  EXPECT_EQ(judge_cores(ranks, 0).found, "4 threads for 4 cores");
  ranks[1].cores = "2";
  const Check bound = judge_cores(ranks, 4);
  EXPECT_EQ(bound.status, Status::kWarning);
  EXPECT_EQ(bound.found, "rank 1 on b: 4 threads for 1 core");
  EXPECT_THAT(bound.cure, HasSubstr("--bind-to none"));
}

TEST(Cores, AControlGroupThatAllowsLessIsNamed) {
  auto ranks = two_nodes();
  ranks[0].cores_allowed = 1.5;
  EXPECT_EQ(judge_cores(ranks, 0).found,
            "rank 0 on a: 4 threads for 4 cores, and its control group allows the time of 1.5");
}

TEST(Driver, OlderThanTheLibraryIsAFailure) {
  const Check old = judge_driver(CudaVersions{12080, 13000}, "570.86.10", {kH100}, false);
  EXPECT_EQ(old.status, Status::kFailed);
  EXPECT_THAT(old.found, HasSubstr("driver 570.86.10 for CUDA 12.8, CUDA 13.0"));
  EXPECT_THAT(old.cure, HasSubstr("580"));
  EXPECT_EQ(judge_driver(CudaVersions{13010, 13000}, "580.65", {kH100}, false).status, Status::kOk);
}

TEST(Driver, AGpuThatTheBuildHasNoKernelsForIsAFailure) {
  Gpu pascal = kH100;
  pascal.name = "P100";
  pascal.capability = 60;
  const Check old = judge_driver(CudaVersions{13000, 13000}, "580.65", {kH100, pascal}, false);
  EXPECT_EQ(old.status, Status::kFailed);
  EXPECT_THAT(old.found, HasSubstr("P100, compute capability 6.0"));
}

TEST(Driver, WhatIsNotThereIsAFailureWhereItIsAskedFor) {
  EXPECT_EQ(judge_driver(std::nullopt, "", {}, false).status, Status::kSkipped);
  EXPECT_EQ(judge_driver(std::nullopt, "580.65", {}, false).status, Status::kWarning);
  EXPECT_EQ(judge_driver(std::nullopt, "", {}, true).status, Status::kFailed);
  EXPECT_EQ(judge_driver(CudaVersions{0, 13000}, "", {}, false).status, Status::kWarning);
  EXPECT_EQ(judge_driver(CudaVersions{13000, 13000}, "580.65", {}, true).status, Status::kFailed);
}

TEST(Devices, TwoRanksOnOneGpuAreNamed) {
  auto ranks = two_nodes();
  for (RankFacts& rank : ranks) {
    rank.gpu = kH100;
    rank.device = "cuda:0";
  }
  EXPECT_EQ(judge_devices(ranks).status, Status::kOk);  // one UUID each on two hosts
  ranks[1].host = "a";
  const Check shared = judge_devices(ranks);
  EXPECT_EQ(shared.status, Status::kWarning);
  EXPECT_THAT(shared.found, HasSubstr("ranks 0, 1 share a GPU"));
  EXPECT_THAT(shared.found, HasSubstr("0000:17:00.0"));
}

TEST(Devices, ARankWithoutAGpuAmongOthersIsAFailure) {
  auto ranks = two_nodes();
  ranks[0].gpu = kH100;
  ranks[0].device = "cuda:0";
  const Check mixed = judge_devices(ranks);
  EXPECT_EQ(mixed.status, Status::kFailed);
  EXPECT_THAT(mixed.found, HasSubstr("rank 1 on b: cpu"));
  EXPECT_THAT(mixed.cure, HasSubstr("run.device"));
}

TEST(Peers, ACopyThatAltersBytesIsAFailure) {
  EXPECT_EQ(judge_peers({{0, 1, {true, true, 5e10}}, {1, 0, {true, true, 4e10}}}).found,
            "2 copies between GPUs arrived as sent, 2 of them direct, the slowest at 40.0 GB/s");
  const Check broken = judge_peers({{0, 1, {true, true, 5e10}}, {1, 0, {true, false, 5e10}}});
  EXPECT_EQ(broken.status, Status::kFailed);
  EXPECT_THAT(broken.found, HasSubstr("cuda:1 to cuda:0"));
  EXPECT_THAT(broken.cure, HasSubstr("NCCL_P2P_DISABLE=1"));
}

TEST(Files, ANodeThatSeesAnotherFileIsNamed) {
  auto ranks = two_nodes();
  for (RankFacts& rank : ranks) rank.files = {{"the weights of m", "1f"}};
  EXPECT_EQ(judge_files(ranks).found, "the weights of m are readable, and the same on 2 nodes");
  ranks[1].files["the weights of m"] = "2e";
  const Check other = judge_files(ranks);
  EXPECT_EQ(other.status, Status::kFailed);
  EXPECT_EQ(other.found, "the weights of m is another on rank 1 on b than on rank 0 on a");
  ranks[1].files.clear();
  ranks[1].unreadable["the weights of m"] = "No such file.";
  EXPECT_EQ(judge_files(ranks).found, "rank 1 on b: the weights of m: No such file.");
}

TEST(Memory, RanksThatShareAGpuShareItsMemory) {
  auto ranks = two_nodes();
  ranks[0].needed_by_end = 60;
  ranks[0].needed_alone = 100;
  EXPECT_EQ(judge_memory(ranks, /*alone=*/false).status, Status::kOk);
  EXPECT_EQ(judge_memory(ranks, /*alone=*/true).status, Status::kFailed);
  for (RankFacts& rank : ranks) {
    rank.host = "a";
    rank.gpu = kH100;
  }
  EXPECT_EQ(judge_memory(ranks, /*alone=*/false).status, Status::kFailed);
}

TEST(Space, WhatASweepNeedsIsSaid) {
  RankFacts facts{.free_bytes = 2'000'000'000, .free_files = 100'000, .rows = 100'000};
  EXPECT_EQ(judge_space(facts).status, Status::kOk);
  facts.rows = 436'000;
  const Check full = judge_space(facts);
  EXPECT_EQ(full.status, Status::kFailed);
  EXPECT_THAT(full.found, HasSubstr("436000 rows"));
  EXPECT_THAT(full.cure, HasSubstr("Free 2.7 GB"));
  facts.rows = 0;
  facts.free_files = 3;
  EXPECT_THAT(judge_space(facts).found, HasSubstr("3 more files"));
}

TEST(Wire, NcclsOwnWordsOfItsWay) {
  EXPECT_EQ(ways_in("n:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM\n"
                    "n:1:2 [0] NCCL INFO Channel 01/0 : 0[0] -> 1[1] via P2P/CUMEM\n"
                    "n:1:2 [0] NCCL INFO Channel 00/0 : 1[1] -> 2[0] [send] via NET/IB/0\n"),
            "NET/IB/0, P2P/CUMEM");
  EXPECT_EQ(ways_in("n:1:2 [0] NCCL INFO Bootstrap: Using eth0\n"), "");
}

TEST(Wire, FailuresGoBeforeNumbersAndSlowNetworksAreNamed) {
  const WireResult fast{"rank 0 on a to rank 1 on b", 1e10, "", "NET/IB/0"};
  EXPECT_EQ(judge_wire("nccl", {fast}).found, "rank 0 on a to rank 1 on b 10.00 GB/s via NET/IB/0");
  WireResult slow = fast;
  slow.bytes_per_s = 1e8;
  EXPECT_EQ(judge_wire("wire", {fast, slow}).status, Status::kWarning);
  WireResult broken = fast;
  broken.failure = "Waited 30 s in vain.";
  const Check failed = judge_wire("wire", {fast, broken});
  EXPECT_EQ(failed.status, Status::kFailed);
  EXPECT_EQ(failed.found, "rank 0 on a to rank 1 on b: Waited 30 s in vain.");
  EXPECT_EQ(judge_wire("wire", {}).status, Status::kSkipped);
}

TEST(Wire, ManyAreToldByTheirRange) {
  std::vector<WireResult> many;
  for (int lane = 1; lane <= 64; ++lane) {
    many.push_back({"rank " + std::to_string(lane), 1e9 * lane, "", ""});
  }
  EXPECT_EQ(judge_wire("wire", many).found, "64 wires with 1.00 to 64.00 GB/s, the slowest rank 1");
}

}  // namespace
}  // namespace kvcomm::doctor
