"""Shapes of models that random weights are made for, and what of them decides speed."""

# The end of an answer is an id that is never the likeliest: its row of the head, like all behind the tokenizer's
# ids, is zero.
TOKENIZER_IDS = 49152  # of the bundle's tokenizer


def llama(*, hidden: int, inner: int, layers: int, heads: int, kv_heads: int, head_dim: int, vocab: int) -> dict:
    """A config.json of the Llama family."""
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
        "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": vocab,
        "hidden_act": "silu", "rms_norm_eps": 1e-05, "attention_bias": False, "mlp_bias": False,
        "tie_word_embeddings": False, "max_position_embeddings": 131072, "rope_theta": 500000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 8192},
        "bos_token_id": 1, "eos_token_id": vocab - 1, "pad_token_id": 2, "use_cache": True}


# `thin` has as many layers, heads and so launches as `8B`, but loads in a second.
SHAPES = {
    "8B": llama(hidden=4096, inner=14336, layers=32, heads=32, kv_heads=8, head_dim=128, vocab=128256),
    "thin": llama(hidden=512, inner=1024, layers=32, heads=32, kv_heads=8, head_dim=128, vocab=49216),
    "small": llama(hidden=256, inner=512, layers=4, heads=4, kv_heads=2, head_dim=64, vocab=49216)}


def layer_tensors(shape: dict) -> dict[str, tuple[int, ...]]:
    """A layer's tensors by name, [out, in]."""
    hidden, inner, head = shape["hidden_size"], shape["intermediate_size"], shape["head_dim"]
    q, kv = shape["num_attention_heads"] * head, shape["num_key_value_heads"] * head
    return {"input_layernorm": (hidden,), "post_attention_layernorm": (hidden,),
            "self_attn.q_proj": (q, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, q), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner)}


def layer_parameters(shape: dict) -> int:
    """Of one layer's matrices."""
    return sum(size[0] * size[1] for size in layer_tensors(shape).values() if len(size) == 2)


def read_a_step(shape: dict) -> int:
    """Bytes of bfloat16 weights that a decoding step reads: the layers and the head."""
    return 2 * (shape["num_hidden_layers"] * layer_parameters(shape) + shape["vocab_size"] * shape["hidden_size"])


def all_bytes(shape: dict) -> int:
    return read_a_step(shape) + 2 * shape["vocab_size"] * shape["hidden_size"]


def prefill_flops(shape: dict, tokens: int) -> float:
    """Of a prompt that is read whole: the products, and half of attention's square."""
    width = shape["num_attention_heads"] * shape["head_dim"]
    return shape["num_hidden_layers"] * (2 * tokens * layer_parameters(shape) + 2 * tokens * tokens * width)
