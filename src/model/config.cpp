#include "model/config.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/nesting.h"
#include "base/whole.h"

namespace kvcomm {

namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

Json read_json(const fs::path& path) {
  try {
    return parse_json(read_file(path));
  } catch (const Json::exception& broken) {
    fail(Exit::kEnvironment, "'{}' is no valid JSON: {}.", path.string(), broken.what());
  }
}

// One config.json with its path, so that every complaint names the place.
class Source {
 public:
  explicit Source(fs::path path) : path_(std::move(path)), json_(read_json(path_)) {
    if (!json_.is_object()) fail(Exit::kEnvironment, "'{}' holds no JSON object.", path_.string());
  }

  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

  template <typename T>
  T get(const char* key) const {
    if (!has(key)) fail(Exit::kEnvironment, "'{}' has no '{}'.", path_.string(), key);
    try {
      return json_.at(key).get<T>();
    } catch (const Json::exception&) {
      fail(Exit::kEnvironment, "'{}': '{}' has the wrong type: {}.", path_.string(), key,
           json_.at(key).dump());
    }
  }

  template <typename T>
  T get_or(const char* key, T otherwise) const {
    return has(key) ? get<T>(key) : otherwise;
  }

  // From 1 to `most`; the default is far beyond any model, and products of two fit.
  int64_t count(const char* key, int64_t most = 1 << 24) const {
    const int64_t value = get<Whole<int64_t>>(key);
    if (value < 1 || value > most) {
      fail(Exit::kEnvironment, "'{}': '{}' is {}; a number from 1 to {} is needed.", path_.string(),
           key, value, most);
    }
    return value;
  }

  int64_t count_or(const char* key, int64_t otherwise) const {
    return has(key) ? count(key) : otherwise;
  }

  // The model would need something that is not built.
  template <typename T>
  void require(const char* key, const T& supported, const T& when_absent) const {
    const T value = get_or<T>(key, when_absent);
    if (value != supported) {
      fail(Exit::kEnvironment, "'{}': '{}' is {}, and kvcomm's decoder supports only {}.",
           path_.string(), key, Json(value).dump(), Json(supported).dump());
    }
  }

  const Json& operator[](const char* key) const { return json_.at(key); }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
  Json json_;
};

// transformers 5 writes base and scaling as one object, `rope_parameters`; earlier ones apart.
double rope_theta_of(const Source& source) {
  if (!source.has("rope_parameters")) return source.get<double>("rope_theta");
  const Json& rope = source["rope_parameters"];
  if (!rope.is_object() || !rope.contains("rope_theta") || !rope["rope_theta"].is_number()) {
    fail(Exit::kEnvironment, "'{}': 'rope_parameters' has no number 'rope_theta'.", source.path());
  }
  return rope["rope_theta"];
}

std::optional<RopeScaling> rope_scaling_of(const Source& source) {
  const char* key = source.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!source.has(key)) return std::nullopt;
  const Json& scaling = source[key];
  if (!scaling.is_object()) {
    fail(Exit::kEnvironment, "'{}': '{}' is no object: {}.", source.path(), key, scaling.dump());
  }
  const Json type = scaling.value("rope_type", scaling.value("type", Json()));
  if (type == "default") return std::nullopt;
  if (type != "llama3") {
    fail(Exit::kEnvironment, "'{}': rope type {} is not supported (none, 'default' or 'llama3').",
         source.path(), type.dump());
  }
  try {
    return RopeScaling{.factor = scaling.at("factor"),
                       .low_freq_factor = scaling.at("low_freq_factor"),
                       .high_freq_factor = scaling.at("high_freq_factor"),
                       .original_max_positions = scaling.at("original_max_position_embeddings")};
  } catch (const Json::exception& broken) {
    fail(Exit::kEnvironment, "'{}': '{}' is incomplete: {}.", source.path(), key, broken.what());
  }
}

std::vector<int64_t> eos_of(const Source& source) {
  if (!source.has("eos_token_id")) return {};
  if (!source["eos_token_id"].is_array()) return {source.get<Whole<int64_t>>("eos_token_id")};
  const auto ids = source.get<std::vector<Whole<int64_t>>>("eos_token_id");
  return {ids.begin(), ids.end()};
}

}  // namespace

ModelConfig load_model_config(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    fail(Exit::kEnvironment,
         "There is no model folder '{}': put the Hugging Face folder there, or set paths.models.",
         folder.string());
  }
  if (!fs::exists(folder / "config.json")) {
    fail(Exit::kEnvironment,
         "The model folder '{}' has no config.json: put the whole Hugging Face folder there.",
         folder.string());
  }
  const Source source(folder / "config.json");
  ModelConfig config;
  const auto architectures = source.get<std::vector<std::string>>("architectures");
  config.architecture = architectures.empty() ? "" : architectures.front();
  const bool qwen2 = config.architecture == "Qwen2ForCausalLM";
  if (!qwen2 && config.architecture != "LlamaForCausalLM") {
    fail(Exit::kEnvironment,
         "'{}': architecture '{}' is not supported (LlamaForCausalLM, Qwen2ForCausalLM).",
         source.path(), config.architecture);
  }
  source.require<std::string>("hidden_act", "silu", "silu");
  source.require<bool>("mlp_bias", false, false);
  source.require<bool>("use_sliding_window", false, false);
  if (!qwen2) source.require<bool>("attention_bias", false, false);

  config.layers = source.count("num_hidden_layers", 4096);
  config.hidden = source.count("hidden_size");
  config.heads = source.count("num_attention_heads");
  config.kv_heads = source.count_or("num_key_value_heads", config.heads);
  config.head_dim = source.count_or("head_dim", config.hidden / config.heads);
  config.intermediate = source.count("intermediate_size");
  config.vocab = source.count("vocab_size");
  config.rms_norm_eps = source.get<double>("rms_norm_eps");
  config.rope_theta = rope_theta_of(source);
  config.rope_scaling = rope_scaling_of(source);
  config.qkv_bias = qwen2;
  config.tied_embeddings = source.get_or<bool>("tie_word_embeddings", false);
  if (config.heads % config.kv_heads != 0 || config.head_dim == 0 || config.head_dim % 2 != 0) {
    fail(Exit::kEnvironment,
         "'{}': {} heads of size {} cannot share {} key-value heads (heads must be a multiple, the "
         "size even).",
         source.path(), config.heads, config.head_dim, config.kv_heads);
  }

  config.config_eos = config.generate_eos = eos_of(source);
  const fs::path generation = folder / "generation_config.json";
  if (fs::exists(generation)) {
    const Source settings(generation);
    config.eos = config.generate_eos = eos_of(settings);
    config.repetition_penalty = settings.get_or<double>("repetition_penalty", 1.0);
    if (!(config.repetition_penalty > 0)) {
      fail(Exit::kEnvironment, "'{}': 'repetition_penalty' is {}; a number above 0 is needed.",
           settings.path(), config.repetition_penalty);
    }
  }
  if (config.eos.empty()) config.eos = config.config_eos;
  if (config.eos.empty()) {
    fail(Exit::kEnvironment, "Neither '{}' nor '{}' names an 'eos_token_id'.", generation.string(),
         source.path());
  }
  return config;
}

}  // namespace kvcomm
