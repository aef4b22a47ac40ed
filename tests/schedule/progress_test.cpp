// What a user reads of a sweep's progress.
#include "schedule/progress.h"

#include <gtest/gtest.h>

namespace kvcomm::testing {
namespace {

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

}  // namespace
}  // namespace kvcomm::testing
