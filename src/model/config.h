// A model's architecture, read from a Hugging Face folder's config.json and generation_config.json.
// What the decoder does not implement is refused by name; nothing is guessed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace kvcomm {

// Llama 3's scaling of the rotary frequencies ("rope_type": "llama3").
struct RopeScaling {
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 1;
  double original_max_positions = 0;  // original_max_position_embeddings

  bool operator==(const RopeScaling&) const = default;
};

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM" | "Qwen2ForCausalLM"
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t intermediate = 0;
  int64_t vocab = 0;
  double rms_norm_eps = 0;
  double rope_theta = 0;
  std::optional<RopeScaling> rope_scaling;
  bool qkv_bias = false;            // Qwen2
  bool tied_embeddings = false;     // lm_head is embed_tokens
  std::vector<int64_t> eos;         // generation_config.json's list, else config.json's
  std::vector<int64_t> config_eos;  // config.json's alone; may be empty
  // What transformers' own generate stops on: generation_config.json's where there is that file,
  // even if it names none; else config.json's.
  std::vector<int64_t> generate_eos;
  double repetition_penalty = 1;  // from the same file; 1: none

  // Bytes of one token's keys and values in one layer.
  int64_t kv_bytes_per_token(int64_t element_bytes) const {
    return 2 * kv_heads * head_dim * element_bytes;
  }
};

// Fails (kEnvironment) naming the file, the key and the value that is missing or not supported.
ModelConfig load_model_config(const std::filesystem::path& folder);

}  // namespace kvcomm
