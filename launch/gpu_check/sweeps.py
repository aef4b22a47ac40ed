"""What is run: made-up records, model folders and the TOML of sweeps on them."""

import json
import random
import sys
from pathlib import Path

from bundle import ROOT

sys.path.insert(0, str(ROOT / "tests/system"))
from tiny import (CHECKPOINTS, METHODS, dataset_table, make_model, method_table, pair_table,  # noqa: E402, F401
                  toml_keys)  # what the tests run too

WORDS = ("the harbour master wrote down every ship that came in before the storm and the children ran over the bridge "
         "to see old friends at home").split()
KVCOMM = method_table("kvcomm", ratio=0.5)
TWO_METHODS = method_table("skyline") + KVCOMM


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words)) + "."


def write_records(path: Path, words: list[int]):
    """Made-up records, one a number of words of its context."""
    rng = random.Random(sum(words))
    path.write_text("".join(json.dumps({"context": text(rng, count), "question": f"What did {text(rng, 5)[:-1]}?",
                                        "answer": rng.choice(WORDS)}) + "\n" for count in words))


def dataset(path: Path, max_new_tokens: int) -> str:
    """The data set that is called as its file."""
    return dataset_table(path.stem, path, question="question", answers="answer", metric="includes",
                         max_new_tokens=max_new_tokens)


def sweep(path: Path, models: list[str], datasets: str, methods: str, **run) -> Path:
    """Writes the TOML: each model in a pair with itself; `run` are keys of its table [run]."""
    paths = toml_keys({"models": path.parent / "models", "data": path.parent})
    pairs = "".join(map(pair_table, models))
    path.write_text(f"[run]\n{toml_keys(run)}\n[paths]\n{paths}\n{pairs}{datasets}{methods}")
    return path


def make_tiny_models(models: Path):
    """The checkpoints of the parity tests as whole models, below `models`/tiny."""
    for checkpoint in sorted(CHECKPOINTS.iterdir()):
        make_model(models / "tiny" / checkpoint.name, checkpoint.name)
