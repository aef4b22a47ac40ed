"""Tiny whole models and sweeps of every method on them: standard library alone, for launch/gpu_check/ too."""

import json
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKPOINTS = REPOSITORY / "tests/parity/checkpoints"
TOKENIZER = REPOSITORY / "tests/text/fixture/tokenizer.json"
WORDS = ("the harbour master wrote down every ship that came in before the storm and the children ran over the "
         "bridge to 12 others").split()
CHAT_TEMPLATE = ("{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n"
                 "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}")


def toml_keys(values):
    """A line of TOML for each key; all that JSON writes here is TOML too."""
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False, default=str)}\n" for key, value in values.items())


def method_table(name, **parameters):
    """A [[method]]; `from_` is the parameter `from`, which is a word of Python's."""
    return "[[method]]\n" + toml_keys({"name": name} | {key.rstrip("_"): value for key, value in parameters.items()})


def pair_table(sender, receiver=None, **keys):
    """A [[pair]]; without a receiver of the model with itself."""
    return "[[pair]]\n" + toml_keys({"sender": sender, "receiver": receiver or sender} | keys)


def dataset_table(name, path, **keys):
    return "[[dataset]]\n" + toml_keys({"name": name, "path": path} | keys)


# Every method, and each way in which one takes parameters.
METHODS = "".join([
    method_table("baseline"), method_table("baseline", model="sender"),
    method_table("skyline"), method_table("skyline", model="sender"),
    method_table("kvcomm", ratio=[0.25, 0.5, 1.0]),
    method_table("kvcomm", ratio=0.5, alpha=0.25, mu=0.7, sigma=2, calibration_samples=3),
    method_table("kvcomm", layers=[1, 2]),
    method_table("random", ratio=0.5, seed=[0, 1]),
    method_table("contiguous", from_=2, to=3),
    method_table("kvcomm_s", layers=[1, 2]),
    method_table("ac", k=2, j=1),
    method_table("nld", phase1_tokens=6),
    method_table("cipher", phase1_tokens=4),
    method_table("hidden_prepend", k=2, j=1),
    method_table("token_study", layer=1, mode="remove", token="random", answer="text"),
])


def make_model(folder, checkpoint="tiny-llama", config=None):
    """A tiny checkpoint with the tests' tokenizer and a chat template: a whole model folder.

    config: keys of its config.json that are changed
    """
    folder.mkdir(parents=True)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(CHECKPOINTS / checkpoint / name, folder)
    shutil.copy(TOKENIZER, folder)
    if config:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
    tokens = {"bos_token": "<bos>", "eos_token": "<eos>", "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
