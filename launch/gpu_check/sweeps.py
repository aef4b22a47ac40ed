"""What is run: made-up records, model folders and the TOML of sweeps on them."""

import json
import random
import shutil
from pathlib import Path

from bundle import ROOT

CHECKPOINTS = ROOT / "tests/parity/checkpoints"
CHAT_TEMPLATE = ("{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n"
                 "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}")
WORDS = ("the harbour master wrote down every ship that came in before the storm and the children ran over the bridge "
         "to see old friends at home").split()
KVCOMM = '[[method]]\nname = "kvcomm"\nratio = 0.5\n'
TWO_METHODS = f'[[method]]\nname = "skyline"\n{KVCOMM}'
# Every method of a model of four layers, and each way in which layers are chosen.
EVERY_METHOD = """
[[method]]
name = "baseline"
[[method]]
name = "skyline"
[[method]]
name = "kvcomm"
ratio = [0.5, 1.0]
[[method]]
name = "kvcomm"
ratio = 0.5
alpha = 0.25
calibration_samples = 3
[[method]]
name = "random"
ratio = 0.5
[[method]]
name = "contiguous"
from = 2
to = 3
[[method]]
name = "kvcomm_s"
layers = [1, 2]
[[method]]
name = "ac"
k = 2
j = 1
[[method]]
name = "nld"
phase1_tokens = 6
[[method]]
name = "cipher"
phase1_tokens = 4
"""


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
    """The checkpoints of the parity tests with the tests' tokenizer, below `models`/tiny."""
    for checkpoint in sorted(CHECKPOINTS.iterdir()):
        folder = models / "tiny" / checkpoint.name
        folder.mkdir(parents=True)
        for name in ("config.json", "generation_config.json", "model.safetensors"):
            shutil.copy(checkpoint / name, folder)
        shutil.copy(ROOT / "tests/text/fixture/tokenizer.json", folder)
        (folder / "tokenizer_config.json").write_text(json.dumps(
            {"bos_token": "<bos>", "eos_token": "<eos>", "chat_template": CHAT_TEMPLATE}))
