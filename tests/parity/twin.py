"""The decoder a second time: slow, in float64, with whole attention matrices, explicit masks and positions.

The oracle of methods_test.py, with twin_methods.py on top. Both are written from the published method and from
what was observed of the authors' release, and know nothing of the C++: keep it so, else both share a mistake.
Dimension words as in the program: n tokens, hidden, heads, kv_heads, head_dim, layers, vocab.
"""

import json
import math

import numpy as np
from safetensors import deserialize

HIDDEN_FROM_VIEW = -np.inf


def read_weights(path):
    """{name: float64 array} of a file in bfloat16, or in a dtype that numpy knows; by name.

    The library lists tensors in an order of its own that changes from process to process.
    """
    weights = {}
    for name, tensor in sorted(deserialize(path.read_bytes()), key=lambda item: item[0]):
        if tensor["dtype"] == "BF16":
            flat = (np.frombuffer(tensor["data"], "<u2").astype("<u4") << 16).view("<f4")
        else:
            flat = np.frombuffer(tensor["data"], {"F32": "<f4", "F64": "<f8", "I64": "<i8"}[tensor["dtype"]])
        weights[name] = flat.reshape(tensor["shape"]).astype(np.float64)
    return weights


def write_weights(weights, path):
    """A safetensors file in bfloat16; the low half of each float32 is dropped."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in weights.items():
        bits = (np.ascontiguousarray(array, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rotary_frequencies(config, head_dim):
    """[head_dim / 2]; with Llama 3's scaling where the configuration asks for it."""
    frequencies = config["rope_theta"] ** (-np.arange(0, head_dim, 2) / head_dim)
    scaling = config.get("rope_scaling")
    if scaling is None:
        return frequencies
    assert scaling["rope_type"] == "llama3", scaling
    turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)  # 0: few turns in the old length, wholly slowed down
    return frequencies * (kept + (1 - kept) / scaling["factor"])


def as_list(value):
    return list(value) if isinstance(value, list) else [value]


class Model:
    """Weights and shape of a Llama or Qwen2 folder, and what its two configurations say about the end."""

    def __init__(self, folder):
        config = json.loads((folder / "config.json").read_text())
        generation = json.loads((folder / "generation_config.json").read_text())
        self.weights = read_weights(folder / "model.safetensors")
        self.layers = config["num_hidden_layers"]
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.hidden = config["hidden_size"]
        self.head_dim = config.get("head_dim") or self.hidden // self.heads
        self.eps = config["rms_norm_eps"]
        self.frequencies = rotary_frequencies(config, self.head_dim)
        self.table = self.weights["model.embed_tokens.weight"]  # [vocab, hidden]
        self.head = self.table if config["tie_word_embeddings"] else self.weights["lm_head.weight"]
        self.config_eos = as_list(config["eos_token_id"])
        self.generation_eos = as_list(generation.get("eos_token_id", config["eos_token_id"]))
        self.penalty = generation.get("repetition_penalty", 1.0)

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weights[name + ".weight"]

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights.get(name + ".bias", 0.0)

    def rotated(self, x, positions):
        """x [n, some heads, head_dim]: its first half is turned against its second."""
        angle = positions[:, None, None] * self.frequencies
        cos, sin = np.cos(angle), np.sin(angle)
        one, two = x[:, :, :self.head_dim // 2], x[:, :, self.head_dim // 2:]
        return np.concatenate([one * cos - two * sin, two * cos + one * sin], -1)

    def heads_of(self, x, name, heads):
        return self.linear(x, name).reshape(len(x), heads, self.head_dim)

    def mlp(self, x, block):
        gate = self.linear(x, block + "gate_proj")
        return self.linear(gate / (1 + np.exp(-gate)) * self.linear(x, block + "up_proj"), block + "down_proj")

    def logits(self, x):
        return self.norm(x, "model.norm") @ self.head.T


class Sequence:
    """One growing sequence: own tokens after what each layer holds already.

    past       per layer (k, v), each [rows, kv_heads, head_dim], k rotated; None: nothing anywhere
    starts     per layer, the position of the first own token
    lookahead  per layer: at prefill own token i sees own tokens 0..i + lookahead, as far as there are any
    """

    def __init__(self, model, past=None, starts=None, lookahead=None):
        nothing = np.zeros((0, model.kv_heads, model.head_dim))
        self.model = model
        self.past = past or [(nothing, nothing)] * model.layers
        self.starts = starts or [0] * model.layers
        self.lookahead = lookahead or [0] * model.layers
        self.own = [(nothing, nothing)] * model.layers

    def feed(self, x, at_input=None, at_scores=None):
        """x [n, hidden] -> the logits [vocab] after its last token.

        at_input(layer, x) -> x   may change the input of a layer
        at_scores(layer, scores, visible, rows)   sees scaled scores [heads, n, columns] before any mask, which of
                                  them are visible [n, columns], and how many columns are the past's
        """
        for layer in range(self.model.layers):
            if at_input:
                x = at_input(layer, x)
            x = self.block(layer, x, at_scores)
        return self.model.logits(x[-1])

    def block(self, layer, x, at_scores):
        model, name = self.model, f"model.layers.{layer}."
        before, n = len(self.own[layer][0]), len(x)
        positions = self.starts[layer] + before + np.arange(n)
        normed = model.norm(x, name + "input_layernorm")
        q = model.heads_of(normed, name + "self_attn.q_proj", model.heads)
        k = model.heads_of(normed, name + "self_attn.k_proj", model.kv_heads)
        q, k = np.split(model.rotated(np.concatenate([q, k], axis=1), positions), [model.heads], axis=1)
        v = model.heads_of(normed, name + "self_attn.v_proj", model.kv_heads)
        self.own[layer] = tuple(np.concatenate(pair) for pair in zip(self.own[layer], (k, v)))

        rows = len(self.past[layer][0])
        k, v = (np.repeat(np.concatenate(pair), model.heads // model.kv_heads, axis=1).transpose(1, 0, 2)
                for pair in zip(self.past[layer], self.own[layer]))  # [heads, columns, head_dim]
        scores = q.transpose(1, 0, 2) @ k.transpose(0, 2, 1) / math.sqrt(model.head_dim)
        last_seen = before + np.arange(n) + (self.lookahead[layer] if before == 0 else 0)
        own_column = np.arange(k.shape[1]) - rows  # negative: the past, which all see
        visible = own_column[None, :] <= last_seen[:, None]
        if at_scores:
            at_scores(layer, scores, visible, rows)
        out = softmax(np.where(visible, scores, HIDDEN_FROM_VIEW)) @ v  # [heads, n, head_dim]
        x = x + model.linear(out.transpose(1, 0, 2).reshape(n, -1), name + "self_attn.o_proj")
        return x + model.mlp(model.norm(x, name + "post_attention_layernorm"), name + "mlp.")


def penalised(logits, penalty, ids):
    """Each id that was there before, once: a positive logit is divided by the penalty, a negative multiplied."""
    there = sorted(set(ids))
    out = logits.copy()
    out[there] = np.where(out[there] > 0, out[there] / penalty, out[there] * penalty)
    return out


def greedy(sequence, x, limit, ending, before=(), at_input=None):
    """(ids, the two best logits of each step), at most `limit` ids, the ending one with them.

    x [n, hidden] is the prompt; `before` are the ids that a penalty counts beside the output;
    ending: (ids that end it, repetition penalty)
    """
    stop, penalty = ending
    ids, best = [], []
    logits = sequence.feed(x, at_input)
    while True:
        logits = penalised(logits, penalty, [*before, *ids])
        ids.append(int(logits.argmax()))
        best.append(tuple(np.sort(logits)[:-3:-1]))
        if ids[-1] in stop or len(ids) == limit:
            return ids, best
        logits = sequence.feed(sequence.model.table[ids[-1:]])
