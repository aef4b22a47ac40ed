"""Makes the tiny checkpoints and the reference dumps that the parity tests compare with.

    .venv-bench/bin/python tests/parity/make_references.py       # launch/bench.sh makes that environment

Oracle: transformers 4.53.3 for the plain model; for keys and values shared in some layers a slow decoder in
torch, written from the paper, which is first required to agree with transformers. Everything is seeded, so a
second run writes the same files. Each folder is a Hugging Face model with a `reference.safetensors` beside it.
"""

import copy
import json
import math
import pathlib
import shutil

import torch
import transformers
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
SMALL = dict(vocab_size=512, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=4096, bos_token_id=1, eos_token_id=2,
             initializer_range=0.25)
LLAMA3_ROPE = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=32)
CHECKPOINTS = {
    "tiny-llama": (LlamaForCausalLM, LlamaConfig(**SMALL, rms_norm_eps=1e-5, tie_word_embeddings=False)),
    "tiny-llama3-tied": (LlamaForCausalLM, LlamaConfig(**SMALL, rms_norm_eps=1e-5, rope_theta=500000.0,
                                                       rope_scaling=LLAMA3_ROPE, tie_word_embeddings=True)),
    "tiny-falcon3": (LlamaForCausalLM, LlamaConfig(**SMALL, rms_norm_eps=1e-6, rope_theta=1000042.0, head_dim=16,
                                                   tie_word_embeddings=False)),
    "tiny-qwen2": (Qwen2ForCausalLM, Qwen2Config(**SMALL, rms_norm_eps=1e-6, rope_theta=1000000.0,
                                                 tie_word_embeddings=False)),
}
CONTEXT, QUESTION, NEW_TOKENS = 11, 7, 24
SHARED_LAYERS = [0, 2]


def make_model(kind, config, seed):
    torch.manual_seed(seed)
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            elif name.endswith("bias"):
                parameter.copy_(0.3 * torch.randn_like(parameter))
            parameter.copy_(parameter.to(torch.bfloat16))  # stored so: the references start from what is stored
    return model


def narrowed(model):
    """A bfloat16 copy; the original stays whole (a cast there and back would round its rotary frequencies)."""
    copied = copy.deepcopy(model).to(torch.bfloat16)
    copied.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq.clone()  # as from_pretrained leaves it
    return copied


def save_checkpoint(model, folder):
    narrowed(model).save_pretrained(folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(
        json.dumps({"bos_token_id": generation["bos_token_id"], "eos_token_id": [2, 3]}, indent=1) + "\n")


class SlowDecoder:
    """The decoder token by token in float32, with contexts shared in some layers (method.md, "Setting")."""

    def __init__(self, model):
        self.model, self.config = model, model.config
        self.inner = model.model
        self.head_dim = getattr(self.config, "head_dim", None) or self.config.hidden_size // self.config.num_attention_heads

    def project(self, layer, x, position):
        attention = self.inner.layers[layer].self_attn
        q, k, v = (p(x).view(-1, self.head_dim) for p in (attention.q_proj, attention.k_proj, attention.v_proj))
        cos, sin = self.inner.rotary_emb(x[None, None], torch.tensor([[position]]))
        half = self.head_dim // 2
        turn = lambda t: t * cos[0] + torch.cat((-t[:, half:], t[:, :half]), -1) * sin[0]
        return turn(q), turn(k), v

    def run(self, ids, start, context=None, shared=(), cache=None, tally=None):
        """ids at positions start..; returns logits of the last one. cache: per layer own (k, v) lists so far."""
        group = self.config.num_attention_heads // self.config.num_key_value_heads
        for offset, token in enumerate(ids):
            x = self.inner.embed_tokens.weight[token]
            for index, layer in enumerate(self.inner.layers):
                q, k, v = self.project(index, layer.input_layernorm(x), start + offset)
                cache[index].append((k, v))
                seen = (context[index] if context and index in shared else []) + cache[index]
                keys, values = (torch.stack([kv[part] for kv in seen]) for part in (0, 1))  # [rows, kv_heads, dim]
                keys, values = (t.repeat_interleave(group, dim=1) for t in (keys, values))
                weights = torch.softmax(torch.einsum("hd,rhd->hr", q, keys) / math.sqrt(self.head_dim), -1)
                if tally is not None:
                    rows = len(context[index]) if context and index in shared else 0
                    tally[index].append(weights[:, :rows].sum(-1).mean().item())
                out = torch.einsum("hr,rhd->hd", weights, values).reshape(-1)
                x = x + layer.self_attn.o_proj(out)
                x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.model.lm_head(self.inner.norm(x))

    def empty_cache(self):
        return [[] for _ in self.inner.layers]

    def answer(self, question, start, context, shared):
        """Logits at the question's last token, then NEW_TOKENS greedy ids (no eos)."""
        cache = self.empty_cache()
        first = logits = self.run(question, start, context, shared, cache)
        ids = []
        for step in range(NEW_TOKENS):
            ids.append(int(logits.argmax()))
            logits = self.run([ids[-1]], start + len(question) + step, context, shared, cache)
        return first, ids


@torch.no_grad()
def references(model, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, model.config.vocab_size, (1, CONTEXT + QUESTION), generator=generator)
    out = model(ids, output_hidden_states=True, use_cache=True)
    greedy = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
                            eos_token_id=None, pad_token_id=0)[0, ids.shape[1]:]
    narrow = narrowed(model)(ids).logits.float()[0]
    dump = {"ids": ids[0], "logits": out.logits[0], "greedy": greedy, "logits_bfloat16": narrow,
            "hidden": torch.stack([h[0] for h in out.hidden_states[:-1]])}  # inputs of layers 0..L-1
    dump["k"] = torch.stack([out.past_key_values[i][0][0].transpose(0, 1) for i in range(model.config.num_hidden_layers)])
    dump["v"] = torch.stack([out.past_key_values[i][1][0].transpose(0, 1) for i in range(model.config.num_hidden_layers)])

    slow = SlowDecoder(model)
    cache = slow.empty_cache()
    torch.testing.assert_close(slow.run(ids[0].tolist(), 0, cache=cache), out.logits[0, -1], rtol=1e-4, atol=1e-4)

    context, question = ids[0, :CONTEXT].tolist(), ids[0, CONTEXT:].tolist()
    kv = slow.empty_cache()
    slow.run(context, 0, cache=kv)
    layers = range(model.config.num_hidden_layers)
    tally = [[] for _ in layers]
    slow.run(question, CONTEXT, kv, set(layers), slow.empty_cache(), tally)
    dump["importance"] = torch.tensor([sum(t) / len(t) for t in tally], dtype=torch.float64)
    first, answer = slow.answer(question, CONTEXT, kv, set(SHARED_LAYERS))
    dump |= {"shared_logits": first, "shared_greedy": torch.tensor(answer)}
    return {name: tensor.contiguous() for name, tensor in dump.items()}


def main():
    assert transformers.__version__ == "4.53.3", transformers.__version__
    torch.set_num_threads(1)
    for seed, (name, (kind, config)) in enumerate(CHECKPOINTS.items()):
        folder = HERE / "checkpoints" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        model = make_model(kind, config, seed)
        save_checkpoint(model, folder)
        save_file(references(model, 100 + seed), folder / "reference.safetensors")
        print(name, sum(f.stat().st_size for f in folder.iterdir()), "bytes")


if __name__ == "__main__":
    main()
