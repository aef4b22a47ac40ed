// main() of tests that run under mpirun: the first failure on any rank ends the whole job (else its
// peer would wait for ever), and barriers keep the messages of one test out of the next.
#include <gtest/gtest.h>

#include <cstdio>

#include "comm/communicator.h"

namespace {

class MpiListener : public ::testing::EmptyTestEventListener {
 public:
  explicit MpiListener(kvcomm::Communicator& world) : world_(world) {}

  void OnTestStart(const ::testing::TestInfo& test) override { barrier("start", test); }
  void OnTestEnd(const ::testing::TestInfo& test) override { barrier("end", test); }
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::printf("rank %d of %d failed: the job ends here\n", world_.rank(), world_.size());
    std::fflush(stdout);
    kvcomm::abort_job(1);
  }

 private:
  void barrier(const char* when, const ::testing::TestInfo& test) {
    world_.barrier(kvcomm::Deadline(60, std::string("the ") + when + " of " + test.name(),
                                    "all ranks of the test"));
  }

  kvcomm::Communicator& world_;
};

}  // namespace

int main(int argc, char** argv) {
  kvcomm::MpiEnv mpi(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  kvcomm::Communicator world = kvcomm::Communicator::world();
  auto& unit = *::testing::UnitTest::GetInstance();
  unit.listeners().Append(new MpiListener(world));
  const int result = RUN_ALL_TESTS();
  if (unit.test_to_run_count() == 0) {
    std::fprintf(stderr, "no test was run\n");
    kvcomm::abort_job(1);
  }
  constexpr int kSkipped = 77;
  return result == 0 && unit.skipped_test_count() == unit.test_to_run_count() ? kSkipped : result;
}
