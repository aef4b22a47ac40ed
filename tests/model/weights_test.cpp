// Which files and tensors of a folder become a decoder's weights.
#include "model/weights.h"

#include "model/decoder.h"
#include "tests/model/model_fixture.h"

namespace kvcomm::testing {
namespace {

constexpr const char* kHead = "lm_head.weight";
constexpr const char* kTable = "model.embed_tokens.weight";

class WeightsTest : public ModelTest {
 protected:
  // [4, vocab]: what a decoder makes of four tokens.
  at::Tensor logits(OtherHead other_head = OtherHead::kUsed) const {
    const Decoder decoder(folder(), at::kFloat, at::kCPU, other_head);
    const std::vector<int64_t> ids{5, 6, 7, 8};
    const int64_t layers = decoder.config().layers;
    KvCache cache(decoder.config(), layers, std::vector<SlotPlan>{{.capacity = 4}},
                  decoder.options());
    Step step = decoder.step(cache, {{.tokens = 4}}, Step::Phase::kPrefill);
    return decoder.logits(decoder.layers(decoder.embed(ids), {0, layers}, step, cache));
  }

  std::string refused() const {
    return refusal([&] { WeightFiles(folder(), load_model_config(folder())); });
  }
  bool other_head() const {
    return WeightFiles(folder(), load_model_config(folder())).has_other_head();
  }

  // The weights in two files with an index.
  void shard() {
    Tensors first, second;
    Json map;
    for (const auto& [name, tensor] : read_tensors(weights())) {
      const bool early = name < "model.layers.2";
      (early ? first : second)[name] = tensor;
      map[name] = early ? "model-1.safetensors" : "model-2.safetensors";
    }
    write_tensors(folder() / "model-1.safetensors", first);
    write_tensors(folder() / "model-2.safetensors", second);
    std::ofstream(folder() / "model.safetensors.index.json") << Json{{"weight_map", map}};
  }
};

// ---- files

TEST_F(WeightsTest, TheWholeFileComesBeforeTheIndex) {
  const at::Tensor expected = logits();
  shard();
  Tensors other = read_tensors(weights());
  other["model.norm.weight"] = other["model.norm.weight"] * 2;
  write_tensors(weights(), other);
  EXPECT_FALSE(at::equal(logits(), expected));
  fs::remove(weights());
  EXPECT_TRUE(at::equal(logits(), expected));
}

TEST_F(WeightsTest, FilesThatNothingNamesAreNotRead) {
  shard();
  fs::remove(weights());
  const at::Tensor expected = logits();
  for (const char* name : {"consolidated.safetensors", "adapter_model.safetensors",
                           "model-00001-of-00003.safetensors", "model.fp16.safetensors"}) {
    std::ofstream(folder() / name) << "no weights at all";
  }
  EXPECT_TRUE(at::equal(logits(), expected));
  EXPECT_EQ(safetensors_files(folder()).size(), 2u);
}

TEST_F(WeightsTest, OtherFormsAreNamedWithTheCure) {
  fs::remove(weights());
  EXPECT_THAT(refused(), AllOf(HasSubstr("No weights in '"), HasSubstr("is there."),
                               ::testing::Not(HasSubstr("save_pretrained"))));
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5",
                           "flax_model.msgpack", "model-q4.gguf", "consolidated.safetensors"}) {
    std::ofstream(folder() / name) << "x";
    EXPECT_THAT(refused(), AllOf(HasSubstr(fmt::format("It has '{}',", name)),
                                 HasSubstr("safe_serialization=True")));
    EXPECT_FALSE(has_weights(folder()));
    fs::remove(folder() / name);
  }
  std::ofstream(folder() / "training_args.bin") << "x";
  EXPECT_THAT(refused(), ::testing::Not(HasSubstr("training_args")));
  std::ofstream(folder() / "model.safetensors.index.json") << R"({"weight_map": {}})";
  EXPECT_THAT(refused(), HasSubstr("names no file"));
}

TEST_F(WeightsTest, TensorsOfOtherDtypesAreNamedWithTheCure) {
  std::string bytes = read_file(weights());
  bytes.replace(bytes.find("BF16"), 4, "I032");
  std::ofstream(weights(), std::ios::binary) << bytes;
  EXPECT_THAT(refused(),
              AllOf(HasSubstr("has dtype I032"), HasSubstr("If the weights are quantised")));
}

// ---- names

TEST_F(WeightsTest, NamesOfABaseModelAreTaken) {
  make_tiny_model(root_.path() / "tied", "tiny-llama3-tied");
  fs::remove_all(folder());
  fs::rename(root_.path() / "tied", folder());
  const at::Tensor expected = logits();
  Tensors bare;
  for (const auto& [name, tensor] : read_tensors(weights())) {
    bare[name.substr(std::string_view("model.").size())] = tensor;
  }
  write_tensors(weights(), bare);
  EXPECT_TRUE(at::equal(logits(), expected));
  change({{"tie_word_embeddings", false}});
  EXPECT_THAT(refused(), HasSubstr("'lm_head.weight' is missing"));
}

TEST_F(WeightsTest, BuffersOfOlderExportsAreLeftAlone) {
  const at::Tensor expected = logits();
  Tensors tensors = read_tensors(weights());
  for (const char* name : {"inv_freq", "cos_cached"}) {
    tensors[fmt::format("model.layers.0.self_attn.rotary_emb.{}", name)] =
        at::ones({4}, at::kFloat);
  }
  write_tensors(weights(), tensors);
  EXPECT_TRUE(at::equal(logits(), expected));
  tensors["model.layers.0.self_attn.q_norm.weight"] = at::ones({8}, at::kFloat);
  write_tensors(weights(), tensors);
  EXPECT_THAT(refused(), HasSubstr("'model.layers.0.self_attn.q_norm.weight' is not a tensor of"));
}

TEST_F(WeightsTest, FilesMayMixDtypes) {
  const at::Tensor expected = logits();
  Tensors tensors = read_tensors(weights());
  for (auto& [name, tensor] : tensors) {
    if (name.find("mlp") == std::string::npos) tensor = tensor.to(at::kFloat);
  }
  write_tensors(weights(), tensors);
  EXPECT_TRUE(at::equal(logits(), expected));
}

TEST_F(WeightsTest, ManyComplaintsAreCutShort) {
  write_tensors(weights(), {{"model.norm.weight", at::ones({32}, at::kFloat)}});
  EXPECT_THAT(refused(), AllOf(HasSubstr("'model.embed_tokens.weight' is missing"),
                               HasSubstr("; and 18 more.")));
}

// ---- tied embeddings

TEST_F(WeightsTest, AHeadOfOtherValuesBesideTiedEmbeddings) {
  const at::Tensor untied = logits();
  change({{"tie_word_embeddings", true}});
  EXPECT_TRUE(other_head());
  EXPECT_TRUE(at::equal(logits(OtherHead::kUsed), untied));
  const at::Tensor dropped = logits(OtherHead::kDropped);
  EXPECT_FALSE(at::equal(dropped, untied));
  Tensors tensors = read_tensors(weights());
  tensors.erase(kHead);
  write_tensors(weights(), tensors);
  EXPECT_FALSE(other_head());
  EXPECT_TRUE(at::equal(logits(), dropped));
}

TEST_F(WeightsTest, AHeadOfTheSameValuesIsTied) {
  change({{"tie_word_embeddings", true}});
  Tensors tensors = read_tensors(weights());
  for (const at::ScalarType dtype : {tensors[kTable].scalar_type(), at::kFloat}) {
    tensors[kHead] = tensors[kTable].to(dtype, /*non_blocking=*/false, /*copy=*/true);
    write_tensors(weights(), tensors);
    EXPECT_FALSE(other_head());
  }
  tensors[kHead][511][31] += 1;  // the last
  write_tensors(weights(), tensors);
  EXPECT_TRUE(other_head());
}

TEST_F(WeightsTest, AHeadOfAnotherShapeIsRefused) {
  change({{"tie_word_embeddings", true}});
  Tensors tensors = read_tensors(weights());
  tensors[kHead] = at::ones({500, 32}, at::kFloat);
  write_tensors(weights(), tensors);
  EXPECT_THAT(refused(), HasSubstr("'lm_head.weight' has shape [500, 32], not [512, 32]"));
}

// ---- weights that no one trained

TEST(RandomWeightsTest, AreThoseOfTheSeedInTheShapesOfTheConfig) {
  for (const char* name : {"tiny-llama", "tiny-llama3-tied", "tiny-qwen2", "tiny-falcon3"}) {
    const ModelConfig config = load_model_config(source_dir() / "tests/parity/checkpoints" / name);
    const RandomWeights weights(config, 1), same(config, 1), others(config, 2);
    for (const ExpectedTensor& expected : expected_tensors(config)) {
      const at::Tensor tensor = weights.load(expected.name, at::kBFloat16);
      EXPECT_EQ(tensor.sizes(), at::IntArrayRef(expected.shape)) << expected.name;
      EXPECT_EQ(tensor.scalar_type(), at::kBFloat16);
      EXPECT_TRUE(at::equal(tensor, same.load(expected.name, at::kBFloat16)));
      const bool norm = expected.name.find("norm") != std::string::npos;
      EXPECT_EQ(at::equal(tensor, at::ones_like(tensor)), norm) << expected.name;
      EXPECT_EQ(at::equal(tensor, others.load(expected.name, at::kBFloat16)), norm);
      const bool rows_differ = tensor.dim() == 1 || !at::equal(tensor[0], tensor[1]);
      EXPECT_TRUE(rows_differ) << expected.name;
    }
    const Decoder decoder(config, weights, at::TensorOptions(at::kFloat));
    const std::vector<int64_t> ids{5, 6, 7, 8};
    EXPECT_TRUE(decoder.logits(decoder.embed(ids)).isfinite().all().item<bool>());
  }
}

TEST(RandomWeightsTest, LargerTensorsRepeatThemWithNothingLeftOut) {
  ModelConfig config = load_model_config(source_dir() / "tests/parity/checkpoints/tiny-llama");
  config.vocab = 200'000;  // 6.4 million elements
  const RandomWeights weights(config, 1);
  const at::Tensor table = weights.load("model.embed_tokens.weight", at::kFloat);
  EXPECT_EQ(table.size(0), config.vocab);
  EXPECT_NEAR(table.std().item<double>(), 0.02, 0.001);
  const at::Tensor rows = table.abs().amax(1);
  EXPECT_GT(rows.min().item<double>(), 0);
  EXPECT_LT(rows.max().item<double>(), 0.2);
  const std::vector<std::string> names{"model.layers.0.self_attn.k_proj.weight",
                                       "model.layers.0.self_attn.v_proj.weight"};
  const at::Tensor joined = weights.load_joined(names, at::kFloat);
  EXPECT_TRUE(at::equal(
      joined, at::cat({weights.load(names[0], at::kFloat), weights.load(names[1], at::kFloat)})));
}

}  // namespace
}  // namespace kvcomm::testing
