#include "select/fidelity.h"

#include <gtest/gtest.h>

namespace kvcomm {
namespace {

TEST(Fidelity, PaperAndReleaseDifferInEveryField) {
  const Fidelity paper = Fidelity::paper(), release = Fidelity::release();
  EXPECT_EQ(paper.name, "paper");
  EXPECT_EQ(release.name, "release");
  EXPECT_NE(paper.layer_count, release.layer_count);
  EXPECT_TRUE(!paper.keep_layer0 && release.keep_layer0);
  EXPECT_TRUE(!paper.sink_token && release.sink_token);
  EXPECT_TRUE(paper.importance_from == 0 && release.importance_from == 1);
  EXPECT_NE(paper.importance_mask, release.importance_mask);
  EXPECT_NE(paper.prior, release.prior);
  EXPECT_NE(paper.unselected_prefill, release.unselected_prefill);
  EXPECT_TRUE(paper.shifted_start == 0 && release.shifted_start == 1);
  EXPECT_NE(paper.generation, release.generation);
  EXPECT_TRUE(paper.phase1_tokens == 256 && release.phase1_tokens == 128);
  EXPECT_TRUE(paper.sender_aware && !release.sender_aware);
  EXPECT_TRUE(!paper.recalibration_scored && release.recalibration_scored);
  EXPECT_TRUE(!paper.tie_other_head && release.tie_other_head);
  EXPECT_TRUE(!paper.clean_up_spaces && release.clean_up_spaces);
}

}  // namespace
}  // namespace kvcomm
