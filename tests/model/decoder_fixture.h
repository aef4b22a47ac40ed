// A tiny decoder that tests share, and requests for it.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/generate.h"
#include "tests/support/device.h"
#include "tests/support/paths.h"

namespace kvcomm::testing {

using Ids = std::vector<int64_t>;

class DecoderTest : public ::testing::Test {
 protected:
  static Decoder decoder(int64_t pass_tokens = std::numeric_limits<int64_t>::max()) {
    return {source_dir() / "tests/parity/checkpoints/tiny-llama", at::kFloat, test_device(),
            OtherHead::kUsed, pass_tokens};
  }

  // Made-up ids of the tiny model's vocabulary.
  static Ids some_ids(int64_t count, int64_t seed) {
    Ids ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back((seed * 131 + i * i * 37 + i * 11) % 512);
    return ids;
  }

  static Request ask(const Ids& ids, int64_t max_new_tokens = 8) {
    return {.prompt = {ids, {}}, .decoding = {.max_new_tokens = max_new_tokens}};
  }

  std::vector<Ids> answers(const std::vector<Request>& requests, PrefixCache* prefixes = nullptr) {
    return answers(model_, requests, prefixes);
  }
  static std::vector<Ids> answers(const Decoder& model, const std::vector<Request>& requests,
                                  PrefixCache* prefixes = nullptr) {
    std::vector<Ids> all;
    for (const Answer& answer : generate(model, requests, {.prefixes = prefixes}))
      all.push_back(answer.ids);
    return all;
  }

  c10::InferenceMode guard_;
  Decoder model_ = decoder();
};

}  // namespace kvcomm::testing
