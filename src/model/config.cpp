#include "model/config.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/model_file.h"
#include "base/nesting.h"
#include "base/whole.h"

namespace kvcomm {

namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

Json read_json(const fs::path& path) {
  try {
    return parse_json(read_model_file(path));
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
    const int64_t value = get<Integer<int64_t>>(key);
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
  const Json& all() const { return json_; }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
  Json json_;
};

// ---- rotary positions

// What config.json says of them, which has had several places: `rope_theta` and `rope_scaling`, one
// object `rope_parameters` since transformers 5, there by the layers' attention where that differs.
class RopeSource {
 public:
  explicit RopeSource(const Source& source) : source_(source) {
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
      if (!source.has(key)) continue;
      const Json& object = source[key];
      if (!object.is_object()) {
        fail(Exit::kEnvironment, "'{}': '{}' is no object: {}.", source.path(), key, object.dump());
      }
      const bool by_attention = object.contains("full_attention");
      const std::string name = by_attention ? fmt::format("{}.full_attention", key) : key;
      objects_.emplace_back(name, by_attention ? object["full_attention"] : object);
    }
  }

  // The number of that name, wherever it stands; none: nowhere.
  std::optional<double> number(const char* key) const {
    const Json found = value({key}, /*also_outside=*/true);
    if (found.is_null()) return std::nullopt;
    if (!found.is_number() || !(found.get<double>() > 0)) {
      fail(Exit::kEnvironment, "'{}': '{}' is {}; a number above 0 is needed.", source_.path(), key,
           found.dump());
    }
    return found.get<double>();
  }

  std::string type() const {
    const Json found = value({"rope_type", "type"}, /*also_outside=*/false);
    if (found.is_string()) return found;
    if (found.is_null() && !number("factor")) return "default";
    fail(Exit::kEnvironment, "'{}': the rotary scaling's 'rope_type' is {}.", source_.path(),
         found.is_null() ? "missing" : found.dump());
  }

  std::string path() const { return source_.path(); }

 private:
  // One value under these names; null: none. Places that disagree cannot be followed.
  Json value(std::initializer_list<const char*> keys, bool also_outside) const {
    Json found;
    std::string found_in;
    const auto take = [&](const Json& from, const char* key, const std::string& place) {
      if (!from.is_object() || !from.contains(key) || from[key].is_null()) return;
      if (!found.is_null() && found != from[key]) {
        fail(Exit::kEnvironment,
             "'{}': '{}' is {}, and '{}' is {}: leave the one in that the model was trained with.",
             source_.path(), found_in, found.dump(), place, from[key].dump());
      }
      found = from[key];
      found_in = place;
    };
    for (const char* key : keys) {
      if (also_outside) take(source_.all(), key, key);
      for (const auto& [name, object] : objects_) take(object, key, name + "." + key);
    }
    return found;
  }

  const Source& source_;
  std::vector<std::pair<std::string, Json>> objects_;
};

std::optional<RopeScaling> rope_scaling_of(const RopeSource& rope) {
  const std::string type = rope.type();
  if (type == "default") return std::nullopt;
  if (type != "llama3") {
    fail(Exit::kEnvironment, "'{}': rope type '{}' is not supported (none, 'default' or 'llama3').",
         rope.path(), type);
  }
  const auto need = [&](const char* key) {
    const std::optional<double> number = rope.number(key);
    if (number) return *number;
    fail(Exit::kEnvironment, "'{}': the rotary scaling 'llama3' is incomplete: '{}' is missing.",
         rope.path(), key);
  };
  const RopeScaling scaling{.factor = need("factor"),
                            .low_freq_factor = need("low_freq_factor"),
                            .high_freq_factor = need("high_freq_factor"),
                            .original_max_positions = need("original_max_position_embeddings")};
  if (scaling.low_freq_factor < scaling.high_freq_factor) return scaling;
  fail(Exit::kEnvironment, "'{}': 'low_freq_factor' is {} and 'high_freq_factor' {}, no more.",
       rope.path(), scaling.low_freq_factor, scaling.high_freq_factor);
}

void read_rope(const Source& source, ModelConfig& config) {
  constexpr double kUsualTheta = 10000;  // transformers' own where the file names none
  const RopeSource rope(source);
  config.rope_theta = rope.number("rope_theta").value_or(kUsualTheta);
  config.rope_scaling = rope_scaling_of(rope);
  if (const double share = rope.number("partial_rotary_factor").value_or(1); share != 1) {
    fail(Exit::kEnvironment,
         "'{}': 'partial_rotary_factor' is {}, and kvcomm's decoder supports only 1.",
         source.path(), share);
  }
}

// ---- what is refused by name

// Weights whose values are not those of the tensors in the file.
void refuse_quantised(const Source& source, const fs::path& folder) {
  constexpr const char* kCure =
      "This program reads weights as they were trained (BF16, F16, F32): take the model that this "
      "one was made from.";
  for (const char* key : {"quantization_config", "compression_config"}) {
    if (!source.has(key)) continue;
    const Json& settings = source[key];
    const auto set = [&](const char* flag) {
      return settings.is_object() && settings.contains(flag) && settings[flag] == true;
    };
    const bool named = settings.is_object() && settings.contains("quant_method");
    const std::string method = named ? settings["quant_method"].dump()
                               : set("load_in_4bit") || set("load_in_8bit")
                                   ? "\"bitsandbytes\""
                                   : "a method that it does not name";
    fail(Exit::kEnvironment, "'{}': by '{}' the weights are quantised by {}. {}", source.path(),
         key, method, kCure);
  }
  for (const auto& [file, maker] :
       {std::pair{"quantize_config.json", "GPTQ"}, std::pair{"quant_config.json", "AWQ"}}) {
    if (!is_there(folder / file)) continue;
    fail(Exit::kEnvironment, "'{}' says that the weights are quantised by {}. {}",
         (folder / file).string(), maker, kCure);
  }
}

// Weights that transformers would look for under a name of the configuration's own.
void refuse_renamed_weights(const Source& source) {
  if (!source.has("transformers_weights")) return;
  fail(Exit::kEnvironment,
       "'{}': 'transformers_weights' names {}, and this program reads model.safetensors, or what "
       "model.safetensors.index.json names: rename the file, and take the key out.",
       source.path(), source["transformers_weights"].dump());
}

void refuse_adapter(const fs::path& folder) {
  const fs::path file = folder / "adapter_config.json";
  if (!is_there(file)) return;
  const Json config = read_json(file);
  const Json base = config.is_object() ? config.value("base_model_name_or_path", Json()) : Json();
  fail(Exit::kEnvironment,
       "'{}' is an adapter of {}, which transformers would add to that model: merge the two (in "
       "Python, peft's `merge_and_unload()`, then `save_pretrained`), or take the file away if it "
       "does not belong there.",
       file.string(), base.is_string() ? base.dump() : "a model that it does not name");
}

// transformers goes by model_type alone, and its exports by both; the first ones wrote "LLaMA".
std::string architecture_of(const Source& source) {
  const auto names = source.get_or<std::vector<std::string>>("architectures", {});
  const auto type = source.get_or<std::string>("model_type", "");
  const std::string named = names.empty() ? "" : names.front();
  const auto is_named = [&](const std::string& name) {
    return std::ranges::equal(named, name, {}, ::tolower, ::tolower);
  };
  for (const auto& [known, prefix] : {std::pair{"llama", "Llama"}, std::pair{"qwen2", "Qwen2"}}) {
    const std::string decoder = fmt::format("{}ForCausalLM", prefix);
    const bool by_name = is_named(decoder) || is_named(fmt::format("{}Model", prefix));
    const bool by_type = type == known;
    if (by_name ? by_type || type.empty() : by_type && named.empty()) return decoder;
  }
  fail(
      Exit::kEnvironment,
      "'{}': architecture '{}' with model_type '{}' is not supported (LlamaForCausalLM with llama, "
      "Qwen2ForCausalLM with qwen2).",
      source.path(), named, type);
}

// Qwen2's layers from max_window_layers on see a window only, where that is switched on.
void refuse_windows(const Source& source, int64_t layers) {
  const auto types = source.get_or<std::vector<std::string>>("layer_types", {});
  for (const std::string& type : types) {
    if (type == "full_attention") continue;
    fail(Exit::kEnvironment,
         "'{}': 'layer_types' holds '{}', and kvcomm's decoder supports only "
         "'full_attention'.",
         source.path(), type);
  }
  constexpr int64_t kUsualFirst = 28;  // transformers' own
  const int64_t first = source.get_or<Integer<int64_t>>("max_window_layers", {kUsualFirst});
  if (types.empty() && first < layers) source.require<bool>("use_sliding_window", false, false);
}

std::vector<int64_t> eos_of(const Source& source) {
  if (!source.has("eos_token_id")) return {};
  if (!source["eos_token_id"].is_array()) return {source.get<Integer<int64_t>>("eos_token_id")};
  const auto ids = source.get<std::vector<Integer<int64_t>>>("eos_token_id");
  return {ids.begin(), ids.end()};
}

void require_folder(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    fail(Exit::kEnvironment,
         "There is no model folder '{}': put the Hugging Face folder there, or set paths.models.",
         folder.string());
  }
  refuse_adapter(folder);
  if (!is_there(folder / "config.json")) {
    fail(Exit::kEnvironment,
         "The model folder '{}' has no config.json: put the whole Hugging Face folder there.",
         folder.string());
  }
}

void read_sizes(const Source& source, ModelConfig& config) {
  config.layers = source.count("num_hidden_layers", 4096);
  config.hidden = source.count("hidden_size");
  config.heads = source.count("num_attention_heads");
  config.kv_heads = source.count_or("num_key_value_heads", config.heads);
  config.head_dim = source.count_or("head_dim", config.hidden / config.heads);
  config.intermediate = source.count("intermediate_size");
  config.vocab = source.count("vocab_size");
  if (config.heads % config.kv_heads != 0 || config.head_dim == 0 || config.head_dim % 2 != 0) {
    fail(Exit::kEnvironment,
         "'{}': {} heads of size {} cannot share {} key-value heads (heads must be a multiple, the "
         "size even).",
         source.path(), config.heads, config.head_dim, config.kv_heads);
  }
}

// What ends and penalises answers, of generation_config.json where there is one.
void read_generation(const Source& source, const fs::path& folder, ModelConfig& config) {
  const fs::path generation = folder / "generation_config.json";
  const Source settings(is_there(generation) ? generation : folder / "config.json");
  config.config_eos = eos_of(source);
  config.generate_eos = eos_of(settings);
  config.eos = config.generate_eos.empty() ? config.config_eos : config.generate_eos;
  config.repetition_penalty = settings.get_or<double>("repetition_penalty", 1.0);
  if (!(config.repetition_penalty > 0)) {
    fail(Exit::kEnvironment, "'{}': 'repetition_penalty' is {}; a number above 0 is needed.",
         settings.path(), config.repetition_penalty);
  }
  if (config.eos.empty()) {
    fail(Exit::kEnvironment, "Neither '{}' nor '{}' names an 'eos_token_id'.", generation.string(),
         source.path());
  }
}

}  // namespace

ModelConfig load_model_config(const fs::path& folder) {
  require_folder(folder);
  const Source source(folder / "config.json");
  refuse_quantised(source, folder);
  refuse_renamed_weights(source);
  ModelConfig config;
  config.architecture = architecture_of(source);
  const bool qwen2 = config.architecture == "Qwen2ForCausalLM";
  source.require<std::string>("hidden_act", "silu", "silu");
  source.require<bool>("mlp_bias", false, false);
  if (!qwen2) source.require<bool>("attention_bias", false, false);

  read_sizes(source, config);
  config.rms_norm_eps = source.get_or<double>("rms_norm_eps", 1e-6);
  read_rope(source, config);
  refuse_windows(source, config.layers);
  config.qkv_bias = qwen2;
  config.tied_embeddings = source.get_or<bool>("tie_word_embeddings", false);
  read_generation(source, folder, config);
  return config;
}

}  // namespace kvcomm
