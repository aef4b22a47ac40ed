// main() of tests without MPI: a program whose every test was skipped says so to ctest (exit code
// 77), and one that ran none has failed. GoogleTest's own would call both passed.
#include <gtest/gtest.h>

#include <cstdio>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  const auto& unit = *::testing::UnitTest::GetInstance();
  if (unit.test_to_run_count() == 0) {
    std::fprintf(stderr, "no test was run\n");
    return 1;
  }
  constexpr int kSkipped = 77;
  return result == 0 && unit.skipped_test_count() == unit.test_to_run_count() ? kSkipped : result;
}
