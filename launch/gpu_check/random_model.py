#!/usr/bin/env python3
"""Random bfloat16 weights of one of shapes.py's shapes, seeded, as a Hugging Face folder without a tokenizer.

    python3 launch/gpu_check/random_model.py FOLDER SHAPE DEVICE
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import save_file

from shapes import SHAPES, TOKENIZER_IDS, layer_tensors

LAYERS_A_FILE = 4
DEVIATION = 0.02


def tensors_by_file(shape: dict) -> list[dict[str, tuple[int, ...]]]:
    hidden, vocab = shape["hidden_size"], shape["vocab_size"]
    files = [{"model.embed_tokens.weight": (vocab, hidden)},
             {"lm_head.weight": (vocab, hidden), "model.norm.weight": (hidden,)}]
    for first in range(0, shape["num_hidden_layers"], LAYERS_A_FILE):
        files.append({f"model.layers.{layer}.{name}.weight": size
                      for layer in range(first, min(first + LAYERS_A_FILE, shape["num_hidden_layers"]))
                      for name, size in layer_tensors(shape).items()})
    return files


def made(name: str, size: tuple[int, ...], device: str) -> torch.Tensor:
    if len(size) == 1:
        return torch.ones(size, dtype=torch.bfloat16)
    weights = torch.randn(size, dtype=torch.bfloat16, device=device) * DEVIATION
    if name == "lm_head.weight":
        weights[TOKENIZER_IDS:] = 0
    return weights.cpu()


def main():
    folder, shape, device = Path(sys.argv[1]), SHAPES[sys.argv[2]], sys.argv[3]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(shape, indent=1))
    (folder / "generation_config.json").write_text(
        json.dumps({"bos_token_id": shape["bos_token_id"], "eos_token_id": shape["eos_token_id"]}))
    torch.manual_seed(1)
    files = tensors_by_file(shape)
    index = {}
    with ThreadPoolExecutor(4) as pool:  # a file is written while the next one's weights are made
        waiting = []
        for number, sizes in enumerate(files, 1):
            file = f"model-{number:05}-of-{len(files):05}.safetensors"
            index |= dict.fromkeys(sizes, file)
            tensors = {name: made(name, size, device) for name, size in sizes.items()}
            waiting.append(pool.submit(save_file, tensors, folder / file, {"format": "pt"}))
        for written in waiting:
            written.result()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


if __name__ == "__main__":
    main()
