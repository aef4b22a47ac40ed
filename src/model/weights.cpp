#include "model/weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "model/safetensors.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

constexpr const char* kTable = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";
constexpr std::string_view kBase = "model";  // what a base model's names lack

}  // namespace

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& c) {
  std::vector<ExpectedTensor> table;
  table.push_back({kTable, {c.vocab, c.hidden}});
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
  if (!c.tied_embeddings) table.push_back({kHead, {c.vocab, c.hidden}});
  return table;
}

namespace {

// Tensors that some checkpoints carry and no decoder of today reads.
bool is_derived(const std::string& name) { return name.find("rotary_emb.") != std::string::npos; }

// Where a tensor lies, by the name that is expected.
struct Place {
  const SafetensorsFile* file;
  std::string stored_name;

  const StoredTensor& stored() const { return file->tensors().at(stored_name); }
  at::Tensor tensor() const { return file->tensor(stored_name); }
};
using Index = std::unordered_map<std::string, Place>;

// As transformers does, it takes names for a base model's where none begins with "model".
Index index_of(const std::vector<SafetensorsFile>& files, std::vector<std::string>& wrong) {
  const bool bare = std::ranges::none_of(files, [](const SafetensorsFile& file) {
    return std::ranges::any_of(file.tensors(),
                               [](const auto& tensor) { return tensor.first.starts_with(kBase); });
  });
  Index index;
  for (const SafetensorsFile& file : files) {
    for (const auto& [name, stored] : file.tensors()) {
      if (!index.emplace(bare ? fmt::format("{}.{}", kBase, name) : name, Place{&file, name})
               .second)
        wrong.push_back(fmt::format("'{}' is there twice", name));
    }
  }
  return index;
}

void check_tensor(const std::string& name, const StoredTensor& stored,
                  const std::vector<int64_t>& shape, std::vector<std::string>& wrong) {
  if (!at::isFloatingType(stored.dtype)) wrong.push_back(fmt::format("'{}' is of integers", name));
  if (stored.shape == shape) return;
  wrong.push_back(fmt::format("'{}' has shape [{}], not [{}]", name, fmt::join(stored.shape, ", "),
                              fmt::join(shape, ", ")));
}

Index checked_index(const std::vector<SafetensorsFile>& files, const fs::path& folder,
                    const ModelConfig& config) {
  constexpr size_t kShown = 20;
  std::vector<std::string> wrong;
  const Index index = index_of(files, wrong);
  std::vector<ExpectedTensor> expected = expected_tensors(config);
  if (config.tied_embeddings && index.contains(kHead)) {
    expected.push_back({kHead, {config.vocab, config.hidden}});
  }
  std::unordered_set<std::string> known;
  for (const ExpectedTensor& tensor : expected) {
    known.insert(tensor.name);
    const auto found = index.find(tensor.name);
    if (found == index.end()) {
      wrong.push_back(fmt::format("'{}' is missing", tensor.name));
    } else {
      check_tensor(tensor.name, found->second.stored(), tensor.shape, wrong);
    }
  }
  for (const auto& [name, place] : index) {
    if (!known.contains(name) && !is_derived(name)) {
      wrong.push_back(
          fmt::format("'{}' is not a tensor of {}", place.stored_name, config.architecture));
    }
  }
  if (wrong.empty()) return index;
  const size_t more = wrong.size() - std::min(wrong.size(), kShown);
  wrong.resize(wrong.size() - more);
  fail(Exit::kEnvironment, "The weights in '{}' do not fit its config.json: {}{}.", folder.string(),
       fmt::join(wrong, "; "), more == 0 ? "" : fmt::format("; and {} more", more));
}

std::vector<SafetensorsFile> open_files(const fs::path& folder) {
  std::vector<SafetensorsFile> files;
  for (const fs::path& path : safetensors_files(folder)) files.emplace_back(path);
  return files;
}

// [rows, hidden] each. Row by row, so that little is converted at a time where dtypes differ.
bool same_values(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() == b.scalar_type()) {
    return std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
  }
  for (int64_t row = 0; row < a.size(0); ++row) {
    if (!at::equal(a[row].to(at::kDouble), b[row].to(at::kDouble))) return false;
  }
  return true;
}

bool has_other_head(const Index& index, const ModelConfig& config) {
  if (!config.tied_embeddings || !index.contains(kHead)) return false;
  return !same_values(index.at(kHead).tensor(), index.at(kTable).tensor());
}

}  // namespace

void check_weights(const fs::path& folder, const ModelConfig& config) {
  checked_index(open_files(folder), folder, config);
}

bool has_other_head(const fs::path& folder, const ModelConfig& config) {
  const std::vector<SafetensorsFile> files = open_files(folder);
  return has_other_head(checked_index(files, folder, config), config);
}

Weights load_weights(const fs::path& folder, const ModelConfig& config, at::TensorOptions options,
                     OtherHead other_head) {
  const std::vector<SafetensorsFile> files = open_files(folder);
  const Index index = checked_index(files, folder, config);
  Weights weights;
  const auto load = [&](const std::string& name) {
    weights.emplace(name, index.at(name).tensor().to(options));
  };
  for (const ExpectedTensor& tensor : expected_tensors(config)) load(tensor.name);
  if (other_head == OtherHead::kUsed && has_other_head(index, config)) load(kHead);
  return weights;
}

}  // namespace kvcomm
