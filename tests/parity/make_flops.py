"""Writes flops.json, the floating-point operations of made-up samples of every method by PyTorch's own counter, which
tests/method/cost_test.cpp holds the program's closed forms against. Run by hand, in launch/bench.sh's environment:

    .venv-bench/bin/python tests/parity/make_flops.py
"""

import json
from pathlib import Path

import torch

from flops_check import COLUMNS, SHARES_LAYERS, count, model_of

HERE = Path(__file__).resolve().parent
ENDS = {"model": "receiver"}
CHOSEN = [1, 3]  # of four layers
# method: parameters, and of samples the tokens that each end read and generated
CASES = {
    "baseline": (ENDS, [{"prompt": 17, "answer": 5}, {"prompt": 1, "answer": 1}]),
    "skyline": ({"model": "sender"}, [{"prompt": 60, "answer": 12}]),
    "kvcomm": ({"layers": CHOSEN}, [{"context": 40, "prompt": 17, "answer": 5},
                                    {"context": 1, "prompt": 2, "answer": 1}]),
    "kvcomm_s": ({"layers": CHOSEN}, [{"context": 33, "prompt": 9, "answer": 7}]),
    "ac": ({"k": 2, "j": 1}, [{"context": 40, "prompt": 17, "answer": 5}]),
    "nld": ({"phase1_tokens": 6}, [{"context": 40, "said": 6, "first_prompt": 12, "first_answer": 2, "prompt": 50,
                                    "answer": 4}]),
    "cipher": ({"phase1_tokens": 6}, [{"context": 40, "said": 6, "first_prompt": 12, "first_answer": 2, "prompt": 50,
                                       "answer": 4}]),
    "hidden_prepend": ({"k": 1, "j": 3}, [{"context": 40, "prompt": 17, "answer": 5}]),
    "token_study": (ENDS | {"layer": 1, "answer": "text"}, [{"prompt": 30, "answer": 3}]),
}
COUNTS = ("context", "said", "first_prompt", "first_answer", "prompt", "answer")


def entry(checkpoint, fidelity, method, parameters, tokens):
    """A sample's tokens with PyTorch's counts."""
    release, shares = fidelity == "release", method in SHARES_LAYERS
    tokens = {name: tokens.get(name, 0) for name in COUNTS}
    whole = sorted({*CHOSEN, *([0] if release else [])}) if shares else []
    cell = {"method": method, "parameters": parameters, "keep_layer0": release, "sink_token": release,
            "layers": lambda sample: CHOSEN}
    row = {"sample": 0, "layers_sent": len(whole), "context_tokens": tokens["context"],
           "prompt_tokens": tokens["prompt"], "output_tokens": tokens["answer"],
           "sender_output_tokens": tokens["said"],
           "receiver_input_tokens": tokens["prompt"] + tokens["first_prompt"],
           "receiver_output_tokens": tokens["answer"] + tokens["first_answer"]}
    model = model_of(HERE / "checkpoints" / checkpoint)
    return {"checkpoint": checkpoint, "fidelity": fidelity, "method": method, "parameters": parameters, **tokens,
            "whole_layers": len(whole), **dict(zip(COLUMNS, count(cell, row, [model], model)))}


def main():
    with torch.no_grad():
        entries = [entry(checkpoint.name, fidelity, method, parameters, tokens)
                   for checkpoint in sorted((HERE / "checkpoints").iterdir()) for fidelity in ("paper", "release")
                   for method, (parameters, samples) in CASES.items() for tokens in samples]
    lines = ",\n".join(json.dumps(one) for one in entries)
    (HERE / "flops.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
