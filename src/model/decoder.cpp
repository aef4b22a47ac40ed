#include "model/decoder.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "model/decode_attention.h"

namespace kvcomm {

namespace {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor scale = wide.pow(2).mean(-1, /*keepdim=*/true).add_(eps).rsqrt_();
  return (wide * scale).to(x.scalar_type()) * weight;
}

bool has_whole_context(const Sequence& sequence, int64_t layer) {
  return std::ranges::any_of(sequence.past, [&](const Past& past) {
    return past.context->extent(layer) == Extent::kWhole;
  });
}

// What a sequence sees of its contexts in one layer, in order.
std::vector<LayerKv> contexts_of(const Sequence& sequence, int64_t layer) {
  std::vector<LayerKv> contexts;
  for (const Past& past : sequence.past) {
    const LayerKv kv = past.layer(layer);
    if (kv.present()) contexts.push_back(kv);
  }
  return contexts;
}

void apply_edits(at::Tensor& x, int64_t layer, const std::vector<Sequence>& sequences) {
  int64_t begin = 0;
  for (const Sequence& sequence : sequences) {
    if (sequence.edit != nullptr && sequence.edit->layer == layer) {
      at::Tensor own = x.narrow(0, begin, sequence.tokens);
      sequence.edit->apply(own);
    }
    begin += sequence.tokens;
  }
}

// What all layers of a pass share: computed once.
struct Prepared {
  Angles with_context, without_context;
  at::Tensor cache_rows;  // where the tokens' keys and values go in the cache
  bool decoding = false;
};

}  // namespace

// One decoder layer, its weights named as Hugging Face names them; projections that read the same
// input are one matrix.
struct Decoder::Layer {
  Layer(const WeightFiles& files, const ModelConfig& config, int64_t index,
        at::TensorOptions options);

  at::Tensor forward(const at::Tensor& x, const Pass& pass, const Prepared& prepared) const;
  at::Tensor attention(const at::Tensor& x, const Pass& pass, const Prepared& prepared) const;
  at::Tensor mlp(const at::Tensor& x) const;
  at::Tensor attend_prompt(const at::Tensor& q, const LayerKv& fresh, const Pass& pass) const;
  at::Tensor attend_one_token(const at::Tensor& q, const Pass& pass) const;

  const ModelConfig* config;
  int64_t index;
  at::Tensor input_layernorm;     // [hidden]
  at::Tensor qkv_proj, qkv_bias;  // [(heads + 2 kv_heads) head_dim, hidden]; bias may be undefined
  at::Tensor o_proj;              // [hidden, heads head_dim]
  at::Tensor post_attention_layernorm;  // [hidden]
  at::Tensor gate_up_proj;              // [2 intermediate, hidden]
  at::Tensor down_proj;                 // [hidden, intermediate]
};

Decoder::Layer::Layer(const WeightFiles& files, const ModelConfig& c, int64_t layer,
                      at::TensorOptions options)
    : config(&c), index(layer) {
  const auto name = [&](const char* part) {
    return fmt::format("model.layers.{}.{}", layer, part);
  };
  const auto get = [&](const char* part) { return files.load(name(part), options); };
  const auto join = [&](std::initializer_list<const char*> parts) {
    std::vector<std::string> names;
    for (const char* part : parts) names.push_back(name(part));
    return files.load_joined(names, options);
  };
  input_layernorm = get("input_layernorm.weight");
  qkv_proj =
      join({"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"});
  if (c.qkv_bias) {
    qkv_bias = join({"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"});
  }
  o_proj = get("self_attn.o_proj.weight");
  post_attention_layernorm = get("post_attention_layernorm.weight");
  gate_up_proj = join({"mlp.gate_proj.weight", "mlp.up_proj.weight"});
  down_proj = get("mlp.down_proj.weight");
}

at::Tensor Decoder::Layer::forward(const at::Tensor& x, const Pass& pass,
                                   const Prepared& prepared) const {
  const at::Tensor h =
      x + attention(rms_norm(x, input_layernorm, config->rms_norm_eps), pass, prepared);
  return h + mlp(rms_norm(h, post_attention_layernorm, config->rms_norm_eps));
}

at::Tensor Decoder::Layer::mlp(const at::Tensor& x) const {
  const at::Tensor gate_up = at::linear(x, gate_up_proj);
  const int64_t n = config->intermediate;
  return at::linear(at::silu(gate_up.narrow(1, 0, n)).mul_(gate_up.narrow(1, n, n)), down_proj);
}

at::Tensor Decoder::Layer::attention(const at::Tensor& x, const Pass& pass,
                                     const Prepared& prepared) const {
  const int64_t tokens = x.size(0), heads = config->heads, kv_heads = config->kv_heads;
  const at::Tensor qkv =
      at::linear(x, qkv_proj, qkv_bias).view({tokens, heads + 2 * kv_heads, config->head_dim});
  // A pass's sequences share one method, so a layer has a whole context in all of them or in none.
  const Angles& angles = has_whole_context(pass.sequences.front(), index)
                             ? prepared.with_context
                             : prepared.without_context;
  const at::Tensor qk = Rotary::rotate(qkv.narrow(1, 0, heads + kv_heads), angles);
  const at::Tensor q = qk.narrow(1, 0, heads);
  const LayerKv fresh{qk.narrow(1, heads, kv_heads).contiguous(),
                      qkv.narrow(1, heads + kv_heads, kv_heads).contiguous()};
  if (pass.cache != nullptr) pass.cache->append(index, fresh, prepared.cache_rows);

  const at::Tensor out =
      prepared.decoding ? attend_one_token(q, pass) : attend_prompt(q, fresh, pass);
  if (pass.observer != nullptr && pass.observer->after_layer)
    pass.observer->after_layer(index, fresh);
  return at::linear(out.reshape({tokens, heads * config->head_dim}), o_proj);
}

// Prefill: sequence by sequence, contexts seen as far as the layer holds them, own tokens causally.
at::Tensor Decoder::Layer::attend_prompt(const at::Tensor& q, const LayerKv& fresh,
                                         const Pass& pass) const {
  const bool observed = pass.observer != nullptr && pass.observer->context_share;
  std::vector<at::Tensor> outs, shares;
  int64_t begin = 0;
  for (const Sequence& sequence : pass.sequences) {
    const at::Tensor own_q = q.narrow(0, begin, sequence.tokens);
    const LayerKv own{fresh.k.narrow(0, begin, sequence.tokens),
                      fresh.v.narrow(0, begin, sequence.tokens)};
    const std::vector<LayerKv> contexts = contexts_of(sequence, index);
    std::vector<Partial> parts;
    for (const LayerKv& kv : contexts) parts.push_back(attend(own_q, kv, Mask::none()));
    const bool whole = has_whole_context(sequence, index);
    parts.push_back(attend(own_q, own, whole ? Mask::causal() : Mask{sequence.lookahead}));
    outs.push_back(merge(parts));
    if (observed) shares.push_back(context_share(own_q, contexts, own, pass.observer->share_rule));
    begin += sequence.tokens;
  }
  if (observed) pass.observer->context_share(index, at::cat(shares));
  return outs.size() == 1 ? outs.front() : at::cat(outs);
}

// A decoding step: each sequence's one token sees all its segments.
at::Tensor Decoder::Layer::attend_one_token(const at::Tensor& q, const Pass& pass) const {
  Segments segments;
  for (const Sequence& sequence : pass.sequences) {
    std::vector<LayerKv>& seen = segments.emplace_back(contexts_of(sequence, index));
    seen.push_back(pass.cache->own(index, sequence.slot, pass.cache->length(sequence.slot) + 1));
  }
  if (q.is_cpu()) return decode_attention(q, segments);
  std::vector<at::Tensor> outs;
  for (size_t i = 0; i < segments.size(); ++i) {
    std::vector<Partial> parts;
    for (const LayerKv& kv : segments[i]) {
      parts.push_back(attend(q.narrow(0, static_cast<int64_t>(i), 1), kv, Mask::none()));
    }
    outs.push_back(merge(parts));
  }
  return at::cat(outs);
}

Decoder::Decoder(const std::filesystem::path& folder, at::ScalarType dtype, at::Device device,
                 OtherHead other_head)
    : config_(load_model_config(folder)),
      rotary_(config_, at::TensorOptions().dtype(dtype).device(device)) {
  if (!device.is_cpu()) {
    // A sum of products in bfloat16, or one that is split, depends on the number of rows.
    at::globalContext().setAllowBF16ReductionCuBLAS(/*allow_reduced_precision=*/false,
                                                    /*allow_splitk=*/false);
  }
  const WeightFiles files(folder, config_);
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  embed_tokens_ = files.load("model.embed_tokens.weight", options);
  norm_ = files.load("model.norm.weight", options);
  const bool own_head =
      !config_.tied_embeddings || (other_head == OtherHead::kUsed && files.has_other_head());
  lm_head_ = own_head ? files.load("lm_head.weight", options) : embed_tokens_;
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    layers_.emplace_back(files, config_, layer, options);
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

at::Tensor Decoder::layers(at::Tensor x, LayerRange range, const Pass& pass) const {
  std::vector<int64_t> with, without, tokens;
  std::vector<int> slots;
  for (const Sequence& sequence : pass.sequences) {
    const int64_t seen = pass.cache == nullptr ? 0 : pass.cache->length(sequence.slot);
    for (int64_t i = 0; i < sequence.tokens; ++i) {
      with.push_back(sequence.start.with_context + seen + i);
      without.push_back(sequence.start.without_context + seen + i);
    }
    tokens.push_back(sequence.tokens);
    slots.push_back(sequence.slot);
  }
  const auto device = x.device();
  Prepared prepared;
  prepared.with_context = rotary_.angles(at::tensor(with, at::kLong).to(device));
  prepared.without_context = with == without
                                 ? prepared.with_context
                                 : rotary_.angles(at::tensor(without, at::kLong).to(device));
  if (pass.cache != nullptr) {
    prepared.cache_rows = pass.cache->rows_for(slots, tokens);
    prepared.decoding = pass.cache->length(slots.front()) > 0;
  }
  for (int64_t layer = range.from; layer < range.to; ++layer) {
    if (!prepared.decoding) apply_edits(x, layer, pass.sequences);
    x = layers_[static_cast<size_t>(layer)].forward(x, pass, prepared);
  }
  if (pass.cache != nullptr) pass.cache->advance(slots, tokens);
  return x;
}

at::Tensor Decoder::logits(const at::Tensor& x) const {
  return at::linear(rms_norm(x, norm_, config_.rms_norm_eps), lm_head_);
}

}  // namespace kvcomm
