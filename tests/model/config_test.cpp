// config.json and generation_config.json as exports of many years write them.
#include "model/config.h"

#include "tests/model/model_fixture.h"

namespace kvcomm::testing {
namespace {

const Json kLlama3{{"rope_type", "llama3"},
                   {"factor", 8.0},
                   {"low_freq_factor", 1.0},
                   {"high_freq_factor", 4.0},
                   {"original_max_position_embeddings", 8192}};

class ConfigTest : public ModelTest {
 protected:
  ModelConfig config() const { return load_model_config(folder()); }
  std::string refused() const {
    return refusal([&] { config(); });
  }
};

// ---- rotary positions

TEST_F(ConfigTest, TheRotaryBaseIsReadWhereverItStands) {
  change({{"rope_theta", 7000.0}});
  EXPECT_EQ(config().rope_theta, 7000);
  change({{"rope_theta", nullptr}, {"rope_parameters", {{"rope_theta", 8000}}}});
  EXPECT_EQ(config().rope_theta, 8000);
  EXPECT_FALSE(config().rope_scaling);
  change({{"rope_parameters", nullptr}, {"rope_scaling", {{"rope_theta", 9000}}}});
  EXPECT_EQ(config().rope_theta, 9000);
  change({{"rope_scaling", nullptr},
          {"rope_parameters", {{"full_attention", {{"rope_theta", 6000}}}}}});
  EXPECT_EQ(config().rope_theta, 6000);
  change({{"rope_parameters", nullptr}});
  EXPECT_EQ(config().rope_theta, 10000);  // transformers' own
}

TEST_F(ConfigTest, TheScalingIsReadWhereverItStands) {
  const RopeScaling expected{8, 1, 4, 8192};
  change({{"rope_scaling", kLlama3}});
  EXPECT_EQ(config().rope_scaling, expected);
  EXPECT_EQ(config().rope_theta, 10000);
  Json old = kLlama3;
  old["type"] = "llama3";
  set("rope_scaling", old);
  EXPECT_EQ(config().rope_scaling, expected);
  old.erase("rope_type");
  set("rope_scaling", old);
  EXPECT_EQ(config().rope_scaling, expected);
  Json both = kLlama3;
  both["rope_theta"] = 500000.0;
  change({{"rope_scaling", nullptr}, {"rope_theta", nullptr}, {"rope_parameters", both}});
  EXPECT_EQ(config().rope_scaling, expected);
  EXPECT_EQ(config().rope_theta, 500000);
  both.erase("original_max_position_embeddings");
  set("rope_parameters", both);
  EXPECT_THAT(refused(), HasSubstr("'original_max_position_embeddings' is missing"));
  change({{"original_max_position_embeddings", 8192}});
  EXPECT_EQ(config().rope_scaling, expected);
}

TEST_F(ConfigTest, NoScalingHasManySpellings) {
  for (const Json& none : {Json(), Json::object(), Json{{"rope_type", "default"}},
                           Json{{"type", "default"}}, Json{{"rope_theta", 10000.0}}}) {
    set("rope_scaling", none);
    EXPECT_FALSE(config().rope_scaling) << none;
  }
}

TEST_F(ConfigTest, PlacesThatDisagreeAreRefusedWithBothValues) {
  change({{"rope_theta", 10000.0}, {"rope_parameters", {{"rope_theta", 500000.0}}}});
  EXPECT_THAT(refused(), AllOf(HasSubstr("'rope_theta' is 10000.0"),
                               HasSubstr("'rope_parameters.rope_theta' is 500000.0")));
  change({{"rope_parameters", {{"rope_theta", 10000}}}});  // the same number
  EXPECT_EQ(config().rope_theta, 10000);
  change({{"rope_scaling", kLlama3}, {"rope_parameters", {{"rope_type", "default"}}}});
  EXPECT_THAT(refused(), AllOf(HasSubstr("'rope_parameters.rope_type' is \"default\""),
                               HasSubstr("'rope_scaling.rope_type' is \"llama3\"")));
  change({{"rope_parameters", nullptr}, {"rope_scaling", {{"type", "linear"}}}});
  EXPECT_THAT(refused(), HasSubstr("'rope_scaling.type' is \"linear\""));
}

TEST_F(ConfigTest, WhatTheDecoderCannotTurnIsRefused) {
  set("rope_scaling", {{"type", "yarn"}, {"factor", 4.0}});
  EXPECT_THAT(refused(), HasSubstr("rope type 'yarn' is not supported"));
  set("rope_scaling", {{"factor", 4.0}});
  EXPECT_THAT(refused(), HasSubstr("'rope_type' is missing"));
  set("rope_scaling", "llama3");
  EXPECT_THAT(refused(), HasSubstr("'rope_scaling' is no object"));
  for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"}) {
    Json broken = kLlama3;
    broken[key] = 0;
    set("rope_scaling", broken);
    EXPECT_THAT(refused(), HasSubstr(fmt::format("'{}' is 0; a number above 0", key)));
  }
  Json crossed = kLlama3;
  crossed["low_freq_factor"] = 4.0;
  set("rope_scaling", crossed);
  EXPECT_THAT(refused(), HasSubstr("'low_freq_factor' is 4"));
  change({{"rope_scaling", nullptr}, {"partial_rotary_factor", 0.5}});
  EXPECT_THAT(refused(), HasSubstr("'partial_rotary_factor' is 0.5"));
  change({{"partial_rotary_factor", nullptr}, {"rope_theta", "many"}});
  EXPECT_THAT(refused(), HasSubstr("'rope_theta' is \"many\""));
}

// ---- what older and newer exports leave out

TEST_F(ConfigTest, WhatIsLeftOutIsWhatTransformersTakes) {
  change({{"num_key_value_heads", nullptr},
          {"rms_norm_eps", nullptr},
          {"hidden_act", nullptr},
          {"tie_word_embeddings", nullptr},
          {"attention_bias", nullptr},
          {"mlp_bias", nullptr}});
  set("head_dim", nullptr);
  const ModelConfig read = config();
  EXPECT_EQ(read.kv_heads, 4);
  EXPECT_EQ(read.head_dim, 8);
  EXPECT_EQ(read.rms_norm_eps, 1e-6);
  EXPECT_FALSE(read.tied_embeddings);
}

TEST_F(ConfigTest, ModelTypeNamesTheArchitectureToo) {
  change({{"architectures", nullptr}});
  EXPECT_EQ(config().architecture, "LlamaForCausalLM");
  change({{"model_type", "qwen2"}});
  EXPECT_EQ(config().architecture, "Qwen2ForCausalLM");
  EXPECT_TRUE(config().qkv_bias);
  change({{"architectures", {"Qwen2Model"}}});
  EXPECT_EQ(config().architecture, "Qwen2ForCausalLM");
  change({{"architectures", {"LlamaForCausalLM"}}});
  EXPECT_THAT(refused(), AllOf(HasSubstr("'LlamaForCausalLM'"), HasSubstr("'qwen2'")));
  change({{"architectures", {"LLaMAForCausalLM"}}, {"model_type", "llama"}});
  EXPECT_EQ(config().architecture, "LlamaForCausalLM");
  change({{"architectures", {"LlamaForSequenceClassification"}}, {"model_type", "llama"}});
  EXPECT_THAT(refused(), HasSubstr("'LlamaForSequenceClassification'"));
  change({{"architectures", nullptr}, {"model_type", "mistral"}});
  EXPECT_THAT(refused(), HasSubstr("'mistral'"));
  change({{"model_type", nullptr}});
  EXPECT_THAT(refused(), HasSubstr("is not supported"));
}

TEST_F(ConfigTest, WindowsAreRefusedWhereALayerHasOne) {
  change({{"architectures", {"Qwen2ForCausalLM"}},
          {"model_type", "qwen2"},
          {"use_sliding_window", true},
          {"sliding_window", 16},
          {"max_window_layers", 4}});
  EXPECT_EQ(config().layers, 4);  // none of the four
  change({{"max_window_layers", 3}});
  EXPECT_THAT(refused(), HasSubstr("'use_sliding_window' is true"));
  change(
      {{"layer_types", {"full_attention", "full_attention", "full_attention", "full_attention"}}});
  EXPECT_EQ(config().layers, 4);
  change({{"layer_types", {"full_attention", "sliding_attention"}}});
  EXPECT_THAT(refused(), HasSubstr("'layer_types' holds 'sliding_attention'"));
}

TEST_F(ConfigTest, WithoutItsOwnFileGenerationGoesByConfig) {
  change({{"eos_token_id", {5, 6}}, {"repetition_penalty", 1.5}});
  change({{"eos_token_id", 7}}, "generation_config.json");
  EXPECT_EQ(config().eos, std::vector<int64_t>{7});
  EXPECT_EQ(config().repetition_penalty, 1);
  set("eos_token_id", nullptr, "generation_config.json");
  EXPECT_EQ(config().eos, (std::vector<int64_t>{5, 6}));
  EXPECT_TRUE(config().generate_eos.empty());
  fs::remove(folder() / "generation_config.json");
  EXPECT_EQ(config().eos, (std::vector<int64_t>{5, 6}));
  EXPECT_EQ(config().generate_eos, (std::vector<int64_t>{5, 6}));
  EXPECT_EQ(config().repetition_penalty, 1.5);
  set("eos_token_id", nullptr);
  EXPECT_THAT(refused(), HasSubstr("names an 'eos_token_id'"));
  change({{"eos_token_id", 2}});
  std::ofstream(folder() / "generation_config.json") << "{";
  EXPECT_THAT(refused(), AllOf(HasSubstr("generation_config.json"), HasSubstr("no valid JSON")));
}

// ---- what is no plain model

TEST_F(ConfigTest, QuantisedWeightsAreRefusedByName) {
  for (const char* method : {"bitsandbytes", "gptq", "awq", "fp8", "compressed-tensors"}) {
    set("quantization_config", {{"quant_method", method}, {"bits", 4}});
    EXPECT_THAT(refused(),
                AllOf(HasSubstr("'quantization_config'"), HasSubstr(fmt::format("\"{}\"", method)),
                      HasSubstr("take the model that this one was made from")));
  }
  set("quantization_config", {{"load_in_4bit", true}});
  EXPECT_THAT(refused(), HasSubstr("\"bitsandbytes\""));
  set("quantization_config", Json::object());
  EXPECT_THAT(refused(), HasSubstr("a method that it does not name"));
  set("quantization_config", nullptr);
  EXPECT_EQ(config().layers, 4);
  set("compression_config", {{"quant_method", "compressed-tensors"}});
  EXPECT_THAT(refused(), HasSubstr("'compression_config'"));
  change({{"compression_config", nullptr}});
  for (const auto& [file, maker] :
       {std::pair{"quantize_config.json", "GPTQ"}, std::pair{"quant_config.json", "AWQ"}}) {
    std::ofstream(folder() / file) << R"({"bits": 4})";
    EXPECT_THAT(refused(), AllOf(HasSubstr(file), HasSubstr(maker)));
    fs::remove(folder() / file);
  }
  EXPECT_EQ(config().layers, 4);
}

TEST_F(ConfigTest, WeightsOfANameOfTheirOwnAreRefused) {
  change({{"transformers_weights", "other.safetensors"}});
  EXPECT_THAT(refused(), AllOf(HasSubstr("'transformers_weights' names \"other.safetensors\""),
                               HasSubstr("rename the file")));
}

TEST_F(ConfigTest, AnAdapterIsNoModel) {
  std::ofstream(folder() / "adapter_config.json") << R"({"base_model_name_or_path": "org/base"})";
  EXPECT_THAT(refused(), AllOf(HasSubstr("adapter of \"org/base\""), HasSubstr("merge the two")));
  fs::remove(folder() / "config.json");
  EXPECT_THAT(refused(), HasSubstr("adapter of \"org/base\""));
}

}  // namespace
}  // namespace kvcomm::testing
