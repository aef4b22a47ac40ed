#include "model/weights.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "model/safetensors.h"

namespace kvcomm {

namespace fs = std::filesystem;

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& c) {
  std::vector<ExpectedTensor> table;
  table.push_back({"model.embed_tokens.weight", {c.vocab, c.hidden}});
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string at = fmt::format("model.layers.{}.", layer);
    const int64_t q = c.heads * c.head_dim;
    const int64_t kv = c.kv_heads * c.head_dim;
    table.push_back({at + "input_layernorm.weight", {c.hidden}});
    table.push_back({at + "self_attn.q_proj.weight", {q, c.hidden}});
    table.push_back({at + "self_attn.k_proj.weight", {kv, c.hidden}});
    table.push_back({at + "self_attn.v_proj.weight", {kv, c.hidden}});
    table.push_back({at + "self_attn.o_proj.weight", {c.hidden, q}});
    if (c.qkv_bias) {
      table.push_back({at + "self_attn.q_proj.bias", {q}});
      table.push_back({at + "self_attn.k_proj.bias", {kv}});
      table.push_back({at + "self_attn.v_proj.bias", {kv}});
    }
    table.push_back({at + "post_attention_layernorm.weight", {c.hidden}});
    table.push_back({at + "mlp.gate_proj.weight", {c.intermediate, c.hidden}});
    table.push_back({at + "mlp.up_proj.weight", {c.intermediate, c.hidden}});
    table.push_back({at + "mlp.down_proj.weight", {c.hidden, c.intermediate}});
  }
  table.push_back({"model.norm.weight", {c.hidden}});
  if (!c.tied_embeddings) table.push_back({"lm_head.weight", {c.vocab, c.hidden}});
  return table;
}

namespace {

// Tensors that some checkpoints carry and no decoder of today reads.
bool is_derived(const std::string& name, const ModelConfig& config) {
  return name.ends_with("rotary_emb.inv_freq") ||
         (config.tied_embeddings && name == "lm_head.weight");
}

// name -> the file that holds it
using Index = std::unordered_map<std::string, const SafetensorsFile*>;

Index checked_index(const std::vector<SafetensorsFile>& files, const fs::path& folder,
                    const ModelConfig& config) {
  Index index;
  std::vector<std::string> wrong;
  for (const SafetensorsFile& file : files) {
    for (const auto& [name, stored] : file.tensors()) {
      if (!index.emplace(name, &file).second)
        wrong.push_back(fmt::format("'{}' is there twice", name));
    }
  }
  std::unordered_map<std::string, bool> expected;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    expected.emplace(tensor.name, true);
    const auto found = index.find(tensor.name);
    if (found == index.end()) {
      wrong.push_back(fmt::format("'{}' is missing", tensor.name));
      continue;
    }
    const StoredTensor& stored = found->second->tensors().at(tensor.name);
    if (!at::isFloatingType(stored.dtype)) {
      wrong.push_back(fmt::format("'{}' is of integers", tensor.name));
    }
    const std::vector<int64_t>& shape = stored.shape;
    if (shape != tensor.shape) {
      wrong.push_back(fmt::format("'{}' has shape [{}], not [{}]", tensor.name,
                                  fmt::join(shape, ", "), fmt::join(tensor.shape, ", ")));
    }
  }
  for (const auto& [name, file] : index) {
    if (!expected.contains(name) && !is_derived(name, config)) {
      wrong.push_back(fmt::format("'{}' is not a tensor of {}", name, config.architecture));
    }
  }
  if (!wrong.empty()) {
    fail(Exit::kEnvironment, "The weights in '{}' do not fit its config.json: {}.", folder.string(),
         fmt::join(wrong, "; "));
  }
  return index;
}

std::vector<SafetensorsFile> open_files(const fs::path& folder) {
  std::vector<SafetensorsFile> files;
  for (const fs::path& path : safetensors_files(folder)) files.emplace_back(path);
  return files;
}

}  // namespace

void check_weights(const fs::path& folder, const ModelConfig& config) {
  checked_index(open_files(folder), folder, config);
}

Weights load_weights(const fs::path& folder, const ModelConfig& config, at::ScalarType dtype,
                     at::Device device) {
  const std::vector<SafetensorsFile> files = open_files(folder);
  const Index index = checked_index(files, folder, config);
  Weights weights;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    weights.emplace(tensor.name, index.at(tensor.name)->tensor(tensor.name).to(device, dtype));
  }
  return weights;
}

}  // namespace kvcomm
