#include "model/weights.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "base/hash.h"
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

void check_tensor(const std::string& name, const StoredTensor& stored,
                  const std::vector<int64_t>& shape, std::vector<std::string>& wrong) {
  if (!at::isFloatingType(stored.dtype)) wrong.push_back(fmt::format("'{}' is of integers", name));
  if (stored.shape == shape) return;
  wrong.push_back(fmt::format("'{}' has shape [{}], not [{}]", name, fmt::join(stored.shape, ", "),
                              fmt::join(shape, ", ")));
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

}  // namespace

WeightFiles::WeightFiles(const fs::path& folder, const ModelConfig& config)
    : tied_(config.tied_embeddings) {
  for (const fs::path& path : safetensors_files(folder)) files_.emplace_back(path);
  std::vector<std::string> wrong;
  make_index(wrong);
  check(folder, config, std::move(wrong));
}

// As transformers does, it takes names for a base model's where none begins with "model".
void WeightFiles::make_index(std::vector<std::string>& wrong) {
  const bool bare = std::ranges::none_of(files_, [](const SafetensorsFile& file) {
    return std::ranges::any_of(file.tensors(),
                               [](const auto& tensor) { return tensor.first.starts_with(kBase); });
  });
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, stored] : file.tensors()) {
      if (!index_.emplace(bare ? fmt::format("{}.{}", kBase, name) : name, Held{&file, name})
               .second)
        wrong.push_back(fmt::format("'{}' is there twice", name));
    }
  }
}

void WeightFiles::check(const fs::path& folder, const ModelConfig& config,
                        std::vector<std::string> wrong) const {
  constexpr size_t kShown = 20;
  std::vector<ExpectedTensor> expected = expected_tensors(config);
  if (tied_ && index_.contains(kHead)) expected.push_back({kHead, {config.vocab, config.hidden}});
  std::unordered_set<std::string> known;
  for (const ExpectedTensor& tensor : expected) {
    known.insert(tensor.name);
    const auto found = index_.find(tensor.name);
    if (found == index_.end()) {
      wrong.push_back(fmt::format("'{}' is missing", tensor.name));
    } else {
      check_tensor(tensor.name, found->second.stored(), tensor.shape, wrong);
    }
  }
  for (const auto& [name, held] : index_) {
    if (!known.contains(name) && !is_derived(name)) {
      wrong.push_back(
          fmt::format("'{}' is not a tensor of {}", held.stored_name, config.architecture));
    }
  }
  if (wrong.empty()) return;
  const size_t more = wrong.size() - std::min(wrong.size(), kShown);
  wrong.resize(wrong.size() - more);
  fail(Exit::kEnvironment, "The weights in '{}' do not fit its config.json: {}{}.", folder.string(),
       fmt::join(wrong, "; "), more == 0 ? "" : fmt::format("; and {} more", more));
}

at::Tensor WeightFiles::load(const std::string& name, at::TensorOptions options) const {
  return index_.at(name).tensor().to(options);
}

at::Tensor WeightFiles::load_joined(std::span<const std::string> names,
                                    at::TensorOptions options) const {
  std::vector<int64_t> shape = index_.at(names.front()).stored().shape;
  shape.front() = 0;
  for (const std::string& name : names) shape.front() += index_.at(name).stored().shape.front();
  at::Tensor joined = at::empty(shape, options);
  int64_t row = 0;
  for (const std::string& name : names) {
    const at::Tensor part = index_.at(name).tensor();
    joined.narrow(0, row, part.size(0)).copy_(part);
    row += part.size(0);
  }
  return joined;
}

bool WeightFiles::has_other_head() const {
  if (!tied_ || !index_.contains(kHead)) return false;
  return !same_values(index_.at(kHead).tensor(), index_.at(kTable).tensor());
}

RandomWeights::RandomWeights(const ModelConfig& config, uint64_t seed) {
  // A prime, so that the rows of a matrix differ whatever their length.
  constexpr int64_t kValues = 4194301;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    shapes_[tensor.name] = tensor.shape;
  }
  values_ = at::empty(kValues, at::kFloat)
                .normal_(0, 0.02, at::make_generator<at::CPUGeneratorImpl>(seed));
}

at::Tensor RandomWeights::load(const std::string& name, at::TensorOptions options) const {
  at::Tensor tensor = at::empty(shapes_.at(name), options);
  if (name.ends_with("norm.weight")) return tensor.fill_(1);
  const at::Tensor values = values_.to(options), flat = tensor.view({-1});
  int64_t from = static_cast<int64_t>(hash64(name) % static_cast<uint64_t>(values.numel()));
  for (int64_t begin = 0; begin < flat.numel();) {
    const int64_t count = std::min(values.numel() - from, flat.numel() - begin);
    flat.narrow(0, begin, count).copy_(values.narrow(0, from, count));
    begin += count;
    from = 0;
  }
  return tensor;
}

at::Tensor RandomWeights::load_joined(std::span<const std::string> names,
                                      at::TensorOptions options) const {
  std::vector<at::Tensor> parts;
  for (const std::string& name : names) parts.push_back(load(name, options));
  return at::cat(parts);
}

}  // namespace kvcomm
