"""What is run: made-up records, model folders and the TOML of sweeps on them."""

import json
import random
import sys
from pathlib import Path

from bundle import ROOT

sys.path.insert(0, str(ROOT / "tests/system"))
from tiny import CHECKPOINTS, METHODS, make_model  # noqa: E402, F401  what the tests run too

WORDS = ("the harbour master wrote down every ship that came in before the storm and the children ran over the bridge "
         "to see old friends at home").split()
KVCOMM = '[[method]]\nname = "kvcomm"\nratio = 0.5\n'
TWO_METHODS = f'[[method]]\nname = "skyline"\n{KVCOMM}'


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words)) + "."


def write_records(path: Path, words: list[int]):
    """Made-up records, one a number of words of its context."""
    rng = random.Random(sum(words))
    path.write_text("".join(json.dumps({"context": text(rng, count), "question": f"What did {text(rng, 5)[:-1]}?",
                                        "answer": rng.choice(WORDS)}) + "\n" for count in words))


def dataset(path: Path, max_new_tokens: int) -> str:
    """The data set that is called as its file."""
    return (f'[[dataset]]\nname = "{path.stem}"\npath = "{path}"\nquestion = "question"\nanswers = "answer"\n'
            f'metric = "includes"\nmax_new_tokens = {max_new_tokens}\n')


def sweep(path: Path, models: list[str], datasets: str, methods: str, **run) -> Path:
    """Writes the TOML: each model in a pair with itself; `run` are keys of its table [run]."""
    keys = "".join(f"{name} = {json.dumps(value)}\n" for name, value in run.items())
    pairs = "".join(f'[[pair]]\nsender = "{model}"\nreceiver = "{model}"\n' for model in models)
    path.write_text(f'[run]\n{keys}\n[paths]\nmodels = "{path.parent}/models"\ndata = "{path.parent}"\n'
                    f"{pairs}{datasets}{methods}")
    return path


def make_tiny_models(models: Path):
    """The checkpoints of the parity tests as whole models, below `models`/tiny."""
    for checkpoint in sorted(CHECKPOINTS.iterdir()):
        make_model(models / "tiny" / checkpoint.name, checkpoint.name)
