// What tensors are for, and how many bytes of a sort there were at once.
#include "model/memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "model/kv_cache.h"
#include "tests/model/decoder_fixture.h"

namespace kvcomm::testing {
namespace {

at::Tensor bytes(int64_t count) { return at::empty({count}, at::kByte); }

TEST(MemoryWatch, PeaksAreOfWhatWasThereAtOnce) {
  const MemoryWatch watch;
  const at::Tensor kept = bytes(1000);
  bytes(5000);
  bytes(3000);
  EXPECT_EQ(watch.peaks().activations, 6000u);
  EXPECT_EQ(watch.peaks().weights, 0u);
}

TEST(MemoryWatch, AScopeSaysWhatTensorsAreFor) {
  const MemoryWatch watch;
  at::Tensor weights;
  {
    const MemoryScope scope(MemoryUse::kWeights);
    weights = bytes(700);
    const MemoryScope inner(MemoryUse::kKv);
    bytes(90);
  }
  const at::Tensor other = bytes(40);
  weights = at::Tensor();  // is taken off what it was made as
  const MemoryScope scope(MemoryUse::kWeights);
  const at::Tensor more = bytes(600);
  EXPECT_EQ(watch.peaks().weights, 700u);
  EXPECT_EQ(watch.peaks().kv, 90u);
  EXPECT_EQ(watch.peaks().activations, 40u);
}

TEST(MemoryWatch, MappedMemoryIsCountedUntilItIsGivenBack) {
  const MemoryWatch watch;
  const char mapped[10] = {};
  count_memory(mapped, 300, MemoryUse::kWeights);
  give_back_memory(mapped);
  count_memory(mapped, 200, MemoryUse::kWeights);
  EXPECT_EQ(watch.peaks().weights, 300u);
}

TEST(MemoryWatch, WithoutOneNothingIsCounted) {
  const char mapped[10] = {};
  count_memory(mapped, 300, MemoryUse::kWeights);
  const MemoryWatch watch;
  EXPECT_EQ(watch.peaks().weights, 0u);
}

class ModelMemoryTest : public DecoderTest {};

TEST_F(ModelMemoryTest, AModelsWeightsAndItsCachesAreToldApart) {
  const MemoryWatch watch;
  const Decoder model = decoder();
  const ModelConfig& config = model.config();
  uint64_t weights = 0;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    weights += 4 * static_cast<uint64_t>(c10::multiply_integers(tensor.shape));
  }
  // The parts of one that is joined lie beside it for a moment.
  EXPECT_GE(watch.peaks().weights, weights);
  EXPECT_LE(watch.peaks().weights, weights + weights / 8);
  answers(model, {ask(some_ids(20, 1), 5)});
  EXPECT_EQ(watch.peaks().kv,
            static_cast<uint64_t>(25 * config.layers * config.kv_bytes_per_token(4)));
  EXPECT_GT(watch.peaks().activations, 0u);
}

// The process's own growth is the second opinion: 200 MB of weights, keys and values, activations.
TEST(MemoryWatch, AgreesWithTheProcess) {
  const auto resident = [] {
    uint64_t all = 0, pages = 0;
    std::ifstream("/proc/self/statm") >> all >> pages;
    return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  };
  const ModelConfig config{.layers = 4,
                           .hidden = 1024,
                           .heads = 8,
                           .kv_heads = 8,
                           .head_dim = 128,
                           .intermediate = 2048,
                           .vocab = 4096,
                           .rms_norm_eps = 1e-5,
                           .rope_theta = 10000,
                           .tied_embeddings = true};
  const c10::InferenceMode guard;
  const MemoryWatch watch;
  const double before = resident();
  const Decoder model(config, RandomWeights(config, 1), at::TensorOptions().dtype(at::kFloat));
  Request request{.prompt = {std::vector<int64_t>(256, 7), {}}, .decoding = {.max_new_tokens = 1}};
  generate(model, {&request, 1});
  const MemoryPeaks peaks = watch.peaks();
  const auto known =
      static_cast<double>(peaks.weights + peaks.kv);  // what is freed is not resident
  EXPECT_GT(known, 150e6);
  EXPECT_NEAR(resident() - before, known, std::max(0.15 * known, 64e6));
  EXPECT_GT(peaks.activations, 256u * 4 * 4096);
}

}  // namespace
}  // namespace kvcomm::testing
