// The difference of two keys in words.
#include "store/variants.h"

#include <gtest/gtest.h>

namespace kvcomm {
namespace {

const std::string kHash = "0123456789abcdef0123456789abcdef";
const std::string kOther = "fedcba9876543210fedcba9876543210";

TEST(VariantsTest, ShortValuesAreNamed) {
  const std::string older = R"({"dtype":"float32","max_new_tokens":6,"parameters":{"alpha":1.0}})";
  const std::string newer = R"({"dtype":"bfloat16","max_new_tokens":8,"parameters":{"alpha":0.8}})";
  EXPECT_EQ(difference_text(older, newer),
            "dtype was float32, is bfloat16; max_new_tokens was 6, is 8; alpha was 1.0, is 0.8");
  EXPECT_EQ(variant_name(older, newer), "dtype=float32, max_new_tokens=6, alpha=1.0");
  EXPECT_EQ(difference_text(older, older), "");
  EXPECT_EQ(variant_name(older, older), "");
}

TEST(VariantsTest, HashesAndTextsAreNamedByWhatTheyAreOf) {
  const std::string older = R"({"sender":")" + kHash + R"(","dataset":{"fingerprint":")" + kHash +
                            R"("},"prompts":{"sender":"short\n"}})";
  const std::string newer = R"({"sender":")" + kOther + R"(","dataset":{"fingerprint":")" + kOther +
                            R"("},"prompts":{"sender":"A text that goes on and on and on."}})";
  EXPECT_EQ(difference_text(older, newer),
            "other data; other prompts.sender; other weights of sender");
  EXPECT_EQ(variant_name(older, newer),
            "data=01234567, prompts.sender=short\\n, weights of sender=01234567");
  const std::string long_text = variant_name(newer, older);
  EXPECT_EQ(long_text.find("A text"), std::string::npos) << long_text;
}

TEST(VariantsTest, WhatOneKeyLacksIsNone) {
  EXPECT_EQ(difference_text("{}", R"({"sender_thinks":true})"), "sender_thinks was none, is true");
  EXPECT_EQ(variant_name("{}", R"({"sender_thinks":true})"), "sender_thinks=none");
  const std::string by_hand = R"({"parameters":{"layers":[1,2],"ratio":null}})";
  const std::string by_ratio = R"({"parameters":{"layers":null,"ratio":0.5}})";
  EXPECT_EQ(difference_text(by_ratio, by_hand),
            "layers was none, is [1,2]; ratio was 0.5, is none");
}

TEST(VariantsTest, TheCalibrationFollowsFromTheRest) {
  EXPECT_EQ(
      difference_text(R"({"calibration":"a","dtype":"x"})", R"({"calibration":"b","dtype":"y"})"),
      "dtype was x, is y");
  EXPECT_EQ(difference_text(R"({"calibration":"a"})", R"({"calibration":"b"})"),
            "calibration was a, is b");
}

TEST(VariantsTest, WhatIsComparedOfTextsFollowsFromTheMetric) {
  const std::string older = R"({"lemmas":"1f","metric":"f1","normalisation":"lemmas"})";
  EXPECT_EQ(variant_name(older, R"({"metric":"includes","normalisation":"words"})"), "metric=f1");
  EXPECT_EQ(variant_name(older, R"({"lemmas":"2f","metric":"f1","normalisation":"lemmas"})"),
            "lemmas=1f");
}

TEST(VariantsTest, WhatIsNoJsonIsComparedAsItStands) {
  EXPECT_EQ(difference_text("torn", R"({"dtype":"x"})"), R"(key was torn, is {\"dtype\":\"x\"})");
}

TEST(VariantsTest, OnlyTheSeedIsLeftOut) {
  const std::string first = R"({"dtype":"x","parameters":{"ratio":0.5,"seed":1}})";
  const std::string second = R"({"dtype":"x","parameters":{"ratio":0.5,"seed":2}})";
  const std::string third = R"({"dtype":"y","parameters":{"ratio":0.5,"seed":2}})";
  EXPECT_EQ(key_without_seed(first), key_without_seed(second));
  EXPECT_NE(key_without_seed(second), key_without_seed(third));
  EXPECT_EQ(key_without_seed("torn"), "torn");
}

}  // namespace
}  // namespace kvcomm
