// The GPU's sums of a message, run on the CPU, beside the CPU's own.
#include "tests/support/cuda_on_cpu.h"
//
#include <gtest/gtest.h>

#include <span>

#include "comm/checksum.cuh"
#include "comm/checksum.h"

namespace kvcomm::testing {
namespace {

TEST(WireSumsKernel, AreTheCpus) {
  std::vector<unsigned char> bytes(5000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * i + 3 * i);
  const std::vector<int64_t> ends{0, 0, 30, 31, 800, 1600, 5000};  // aligned to words or not
  SumOffsets offsets{};
  std::ranges::copy(ends, offsets.at);
  std::vector<unsigned long long> sums(ends.size() - 1, 0);
  for (const unsigned parts : {1U, 3U}) {
    std::ranges::fill(sums, 0);
    launch_on_cpu({parts, static_cast<unsigned>(sums.size())}, 4,
                  [&] { wire_sums(bytes.data(), offsets, sums.data()); });
    for (size_t i = 0; i < sums.size(); ++i) {
      const auto sample = std::span(bytes).subspan(static_cast<size_t>(ends[i]),
                                                   static_cast<size_t>(ends[i + 1] - ends[i]));
      EXPECT_EQ(sums[i], wire_sum(std::as_bytes(sample))) << "sample " << i;
    }
  }
}

}  // namespace
}  // namespace kvcomm::testing
