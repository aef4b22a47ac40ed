#include "model/decoder.h"

#include <ATen/ATen.h>

#include <utility>

#include "base/error.h"
#include "model/memory.h"
#include "ops/norm.h"
#include "ops/rotary.h"
#include "ops/swiglu.h"

namespace kvcomm {

namespace {

Activations activations_of(const ModelConfig& config, int64_t tokens, at::TensorOptions options) {
  const auto rows = [&](int64_t width) { return at::empty({tokens, width}, options); };
  return {
      .normed = rows(config.hidden),
      .qkv = rows((config.heads + 2 * config.kv_heads) * config.head_dim),
      .attended = options.device().is_cpu() ? rows(config.heads * config.head_dim) : at::Tensor(),
      .gate_up = rows(2 * config.intermediate),
      .gated = rows(config.intermediate),
      .delta = rows(config.hidden)};
}

// The stream that blocks read and add to. What a block gives is added in the same pass over memory
// as the next one's norm.
class Residual {
 public:
  explicit Residual(at::Tensor x) : x_(std::move(x)) {}

  void norm_into(const at::Tensor& weight, double eps, at::Tensor& out) {
    if (delta_.defined()) {
      ops::add_rms_norm_into(x_, std::exchange(delta_, {}), weight, eps, out);
    } else {
      ops::rms_norm_into(x_, weight, eps, out);
    }
  }
  void add(const at::Tensor& delta) { delta_ = delta; }  // after the norm of x; read by the next
  at::Tensor& x() {
    if (delta_.defined()) x_ += std::exchange(delta_, {});
    return x_;
  }

 private:
  at::Tensor x_, delta_;  // [tokens, hidden]
};

void apply_edits(Residual& residual, int64_t layer, const Step& step) {
  int64_t begin = 0;
  for (const Part& part : step.parts) {
    if (part.edit != nullptr && part.edit->layer == layer) {
      at::Tensor own = residual.x().narrow(0, begin, part.tokens);
      part.edit->apply(own);
    }
    begin += part.tokens;
  }
}

// Pairs of a query and a row that it is multiplied with, as flops.h counts them.
int64_t pairs_of(const Step& step, const Step::Kind& kind) {
  int64_t pairs = 0;
  for (size_t i = 0; i < step.parts.size(); ++i) {
    pairs += step.parts[i].tokens * (kind.ranges.rows[i] + step.parts[i].later);
  }
  return pairs;
}

}  // namespace

// One decoder layer, its weights named as Hugging Face names them; projections that read the same
// input are one matrix.
struct Decoder::Layer {
  Layer(const Weights& weights, const ModelConfig& config, int64_t index,
        at::TensorOptions options);

  void forward(Residual& residual, Step& step, KvCache& cache, const Observer& observer) const;
  // Both from the memory's normed to its delta.
  void attention(Step& step, KvCache& cache, const Observer& observer) const;
  void mlp(Activations& a) const;

  const ModelConfig* config;
  int64_t index;
  at::Tensor input_layernorm, post_attention_layernorm;  // [hidden]
  ops::Linear qkv_proj;                                  // hidden -> (heads + 2 kv_heads) head_dim
  ops::Linear o_proj;                                    // heads head_dim -> hidden
  ops::Linear gate_up_proj;                              // hidden -> 2 intermediate
  ops::Linear down_proj;                                 // intermediate -> hidden
};

Decoder::Layer::Layer(const Weights& weights, const ModelConfig& c, int64_t layer,
                      at::TensorOptions options)
    : config(&c), index(layer) {
  const auto name = [&](const char* part) {
    return fmt::format("model.layers.{}.{}", layer, part);
  };
  const auto get = [&](const char* part) { return weights.load(name(part), options); };
  const auto join = [&](std::initializer_list<const char*> parts) {
    std::vector<std::string> names;
    for (const char* part : parts) names.push_back(name(part));
    return weights.load_joined(names, options);
  };
  input_layernorm = get("input_layernorm.weight");
  post_attention_layernorm = get("post_attention_layernorm.weight");
  at::Tensor bias;
  if (c.qkv_bias) {
    bias = join({"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"});
  }
  qkv_proj = ops::Linear(
      join({"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"}),
      bias);
  o_proj = ops::Linear(get("self_attn.o_proj.weight"));
  gate_up_proj = ops::Linear(join({"mlp.gate_proj.weight", "mlp.up_proj.weight"}));
  down_proj = ops::Linear(get("mlp.down_proj.weight"));
}

void Decoder::Layer::forward(Residual& residual, Step& step, KvCache& cache,
                             const Observer& observer) const {
  Activations& a = step.memory;
  const double eps = config->rms_norm_eps;
  residual.norm_into(input_layernorm, eps, a.normed);
  attention(step, cache, observer);
  residual.add(a.delta);
  residual.norm_into(post_attention_layernorm, eps, a.normed);
  mlp(a);
  residual.add(a.delta);
}

void Decoder::Layer::mlp(Activations& a) const {
  gate_up_proj.into(a.normed, a.gate_up);
  ops::swiglu_into(a.gate_up, a.gated);
  down_proj.into(a.gated, a.delta);
}

void Decoder::Layer::attention(Step& step, KvCache& cache, const Observer& observer) const {
  Activations& a = step.memory;
  const int64_t tokens = a.normed.size(0), heads = config->heads, kv_heads = config->kv_heads;
  const LayerKind& kind = cache.kinds()[cache.kind_of(index)];
  const Step::Kind& now = step.kinds[cache.kind_of(index)];
  const LayerKv& kv = cache.layer(index);

  qkv_proj.into(a.normed, a.qkv);
  at::Tensor qkv = a.qkv.view({tokens, heads + 2 * kv_heads, config->head_dim});
  ops::rotate_and_store(qkv, {.cos = now.angles.cos,
                              .sin = now.angles.sin,
                              .row_of_token = now.cache_rows,
                              .k = kv.k,
                              .v = kv.v});
  const at::Tensor q = qkv.narrow(1, 0, heads);

  const at::Tensor out = ops::attention(
      q, kv, now.ranges, a.attended.defined() ? a.attended.view(q.sizes()) : at::Tensor());
  if (observer.received_share) {
    std::vector<int64_t> received;
    for (const Part& part : step.parts) {
      received.push_back(kind.received[static_cast<size_t>(part.slot)]);
    }
    observer.received_share(index, step,
                            ops::received_share(q, kv, now.ranges, received, observer.share_rule));
  }
  if (observer.on_kv) observer.on_kv(index, kv);
  o_proj.into(out.view({tokens, heads * config->head_dim}), a.delta);
}

Decoder::Decoder(const std::filesystem::path& folder, at::ScalarType dtype, at::Device device,
                 OtherHead other_head, int64_t pass_tokens)
    : Decoder(load_model_config(folder), WeightFiles(folder, load_model_config(folder)),
              at::TensorOptions().dtype(dtype).device(device), other_head, pass_tokens) {}

Decoder::Decoder(ModelConfig config, const Weights& weights, at::TensorOptions options,
                 OtherHead other_head, int64_t pass_tokens)
    : config_(std::move(config)), pass_tokens_(pass_tokens), rotary_(config_, options) {
  const MemoryScope scope(MemoryUse::kWeights);
  if (!options.device().is_cpu()) {
    // A sum of products in bfloat16, or one that is split, depends on the number of rows.
    at::globalContext().setAllowBF16ReductionCuBLAS(/*allow_reduced_precision=*/false,
                                                    /*allow_splitk=*/false);
  }
  embed_tokens_ = weights.load("model.embed_tokens.weight", options);
  norm_ = weights.load("model.norm.weight", options);
  const bool own_head =
      !config_.tied_embeddings || (other_head == OtherHead::kUsed && weights.has_other_head());
  lm_head_ = ops::Linear(own_head ? weights.load("lm_head.weight", options) : embed_tokens_);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    layers_.emplace_back(weights, config_, layer, options);
  }
}

Decoder::~Decoder() = default;

at::TensorOptions Decoder::options() const { return embed_tokens_.options(); }

at::Tensor Decoder::embed(std::span<const int64_t> ids) const {
  for (const int64_t id : ids) {
    if (id < 0 || id >= config_.vocab) {
      fail(Exit::kEnvironment,
           "Token id {} has no row in the embedding table of {} rows: tokenizer and model do not "
           "belong together.",
           id, config_.vocab);
    }
  }
  const at::Tensor index = at::tensor(at::ArrayRef<int64_t>(ids.data(), ids.size()), at::kLong);
  return embed_tokens_.index_select(0, index.to(embed_tokens_.device()));
}

Step Decoder::step(const KvCache& cache, std::vector<Part> parts, Step::Phase phase) const {
  Step step = make_step(cache, std::move(parts), phase, rotary_, options().device());
  step.memory = activations_of(config_, step.tokens(), options());
  return step;
}

void Decoder::advance(Step& step, const KvCache& cache) const {
  kvcomm::advance(step, cache, rotary_);
}

at::Tensor Decoder::layers(at::Tensor x, LayerRange range, Step& step, KvCache& cache,
                           const Observer& observer) const {
  Residual residual(std::move(x));
  for (int64_t layer = range.from; layer < range.to; ++layer) {
    if (step.phase == Step::Phase::kPrefill) apply_edits(residual, layer, step);
    layers_[static_cast<size_t>(layer)].forward(residual, step, cache, observer);
    const int64_t pairs = pairs_of(step, step.kinds[cache.kind_of(layer)]);
    count(layer_flops(config_, step.tokens(), pairs));
    // The shares are a second product of queries with keys.
    if (observer.received_share) count(0.5 * layer_flops(config_, 0, pairs));
  }
  return residual.x();
}

at::Tensor Decoder::logits(const at::Tensor& x) const {
  count(table_flops(config_, x.size(0)));
  return lm_head_(ops::rms_norm(x, norm_, config_.rms_norm_eps));
}

}  // namespace kvcomm
