// One owner a pair; a lock whose owner is gone is taken over, one whose owner may live is not.
#include "store/locks.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "base/files.h"
#include "store/process.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

using kvcomm::testing::TemporaryFolder;
namespace fs = std::filesystem;

// A lock of another host, as its owner would have written it.
void write_foreign_lock(const fs::path& output, const std::string& pair) {
  fs::create_directories(output / "locks");
  std::ofstream(output / "locks" / pair)
      << R"({"host":"elsewhere","place":"x","pid":77,"start":"1","job":"88","since":""})";
}

// Claims a pair in a process of its own, which then lives until it is killed.
pid_t claim_in_child(const fs::path& output, const std::string& pair) {
  int pipe_ends[2];
  if (::pipe(pipe_ends) != 0) return -1;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = PairLocks(output).try_claim(pair);
    const char held = lock ? '1' : '0';
    if (::write(pipe_ends[1], &held, 1) == 1) ::pause();
    ::_exit(1);
  }
  char held = '0';
  EXPECT_EQ(::read(pipe_ends[0], &held, 1), 1);
  EXPECT_EQ(held, '1');
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  return child;
}

TEST(Locks, ASecondClaimIsRefusedUntilTheFirstIsReleased) {
  const TemporaryFolder folder;
  PairLocks mine(folder.path()), others(folder.path());
  auto lock = mine.try_claim("a pair");
  ASSERT_TRUE(lock);
  EXPECT_EQ(lock->pair(), "a pair");
  EXPECT_FALSE(others.try_claim("a pair"));
  EXPECT_EQ(others.owner("a pair"),
            "host " + host_name() + ", process " + std::to_string(::getpid()));
  EXPECT_TRUE(others.try_claim("another pair"));
  lock.reset();
  EXPECT_TRUE(others.try_claim("a pair"));
}

TEST(Locks, AMovedLockIsHeldOnce) {
  const TemporaryFolder folder;
  PairLocks locks(folder.path());
  std::vector<PairLock> held;
  held.push_back(*locks.try_claim("a"));
  held.push_back(*locks.try_claim("b"));
  EXPECT_TRUE(held[0].touch());
  EXPECT_FALSE(locks.try_claim("a"));
  held.clear();
  EXPECT_TRUE(fs::is_empty(folder.path() / "locks"));
}

TEST(Locks, AKilledOwnersLockIsTakenOverAtOnce) {
  const TemporaryFolder folder;
  const pid_t child = claim_in_child(folder.path(), "p");
  PairLocks locks(folder.path());
  EXPECT_FALSE(locks.try_claim("p"));
  ::kill(child, SIGKILL);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(locks.try_claim("p")) << "its owner is dead, though not yet waited for";
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST(Locks, AnotherProcessWithTheOldNumberIsNotTheOwner) {
  const ProcessId me = this_process();
  EXPECT_FALSE(is_gone(me));
  ProcessId earlier = me;
  earlier.start = "1";
  EXPECT_TRUE(is_gone(earlier));
  earlier.scope = "another boot";  // there it may live
  EXPECT_FALSE(is_gone(earlier));
}

TEST(Locks, AnotherHostsLockIsStaleOnlyAfterItsTimeWithoutAChange) {
  const TemporaryFolder folder;
  write_foreign_lock(folder.path(), "p");
  Seconds now = 1000;
  PairLocks locks(folder.path(), [&] { return now; });
  EXPECT_FALSE(locks.try_claim("p"));
  EXPECT_EQ(locks.owner("p"), "host elsewhere, process 77, job 88");
  now += kStaleAfter_s - 1;
  EXPECT_FALSE(locks.try_claim("p"));
  fs::last_write_time(folder.path() / "locks" / "p",
                      fs::file_time_type::clock::now() + std::chrono::seconds(3));  // touched
  now += 2;
  EXPECT_FALSE(locks.try_claim("p"));
  now += kStaleAfter_s - 1;
  EXPECT_FALSE(locks.try_claim("p"));
  now += 1;
  EXPECT_TRUE(locks.try_claim("p"));
  EXPECT_EQ(locks.owner("p"), "");
}

TEST(Locks, ALockWithoutAReadableOwnerIsStaleByTimeAlone) {
  const TemporaryFolder folder;
  Seconds now = 0;
  PairLocks locks(folder.path(), [&] { return now; });
  std::ofstream(folder.path() / "locks" / "p") << "";
  EXPECT_FALSE(locks.try_claim("p"));
  now += kStaleAfter_s;
  EXPECT_TRUE(locks.try_claim("p"));
}

TEST(Locks, WhoIsKilledWhileItWritesItsNameLeavesNoLock) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_bytes{0, 0};  // the first byte that is written ends the process
    ::setrlimit(RLIMIT_FSIZE, &no_bytes);
    PairLocks(folder.path()).try_claim("p");
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child wrote its lock";
  EXPECT_TRUE(PairLocks(folder.path()).try_claim("p"));
}

TEST(Locks, TheOwnerLearnsThatItWasReplacedAndLeavesTheNewLockAlone) {
  const TemporaryFolder folder;
  PairLocks mine(folder.path());
  auto lock = mine.try_claim("p");
  ASSERT_TRUE(lock);
  fs::remove(folder.path() / "locks" / "p");
  EXPECT_FALSE(lock->touch());
  write_foreign_lock(folder.path(), "p");
  EXPECT_FALSE(lock->touch());
  lock.reset();
  EXPECT_TRUE(fs::exists(folder.path() / "locks" / "p"));
}

TEST(Locks, TouchingChangesWhatOthersSee) {
  const TemporaryFolder folder;
  PairLocks mine(folder.path());
  auto lock = mine.try_claim("p");
  const fs::path path = folder.path() / "locks" / "p";
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(1));
  const auto before = fs::last_write_time(path);
  EXPECT_TRUE(lock->touch());
  EXPECT_GT(fs::last_write_time(path), before);
}

TEST(Locks, AreSeenByWhoOnlyLooks) {
  const TemporaryFolder folder;
  EXPECT_TRUE(see_locks(folder.path() / "nowhere").empty());
  const auto lock = PairLocks(folder.path()).try_claim("a pair");
  const pid_t child = claim_in_child(folder.path(), "b");
  write_foreign_lock(folder.path(), "c");
  const fs::path locks = folder.path() / "locks";
  fs::last_write_time(locks / "c", fs::file_time_type::clock::now() - std::chrono::minutes(5));
  std::ofstream(locks / "d%new-host-1-00") << "of a process that claims a pair";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const std::vector<LockSeen> seen = see_locks(folder.path());
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].file, file_name_for("a pair"));
  EXPECT_EQ(seen[0].process.pid, ::getpid());
  EXPECT_FALSE(seen[0].gone);
  EXPECT_LT(seen[0].untouched_s, 60);
  EXPECT_TRUE(seen[1].gone);
  EXPECT_EQ(seen[2].owner, "host elsewhere, process 77, job 88");
  EXPECT_FALSE(seen[2].gone);
  EXPECT_NEAR(seen[2].untouched_s, 300, 60);
  EXPECT_TRUE(fs::exists(locks / "b"));  // nothing is taken over
}

TEST(Locks, AnyPairNameIsASafeAndDistinctFileName) {
  const std::vector<std::string> names = {"llama",
                                          "a/b",
                                          "a%2Fb",
                                          "..",
                                          ".",
                                          "",
                                          "ü",
                                          "a b",
                                          std::string(300, 'x'),
                                          std::string(301, 'x')};
  std::set<std::string> files;
  for (const std::string& name : names) {
    const std::string file = file_name_for(name);
    EXPECT_LE(file.size(), 200u);
    EXPECT_FALSE(file.empty());
    EXPECT_NE(file.front(), '.');
    EXPECT_EQ(file.find('/'), std::string::npos);
    files.insert(file);
  }
  EXPECT_EQ(files.size(), names.size());
  EXPECT_EQ(file_name_for("llama-3.2_x"), "llama-3.2_x");
}

}  // namespace
}  // namespace kvcomm
