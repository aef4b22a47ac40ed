"""Tiny whole models and sweeps of every method on them: standard library alone, for launch/gpu_check/ too."""

import json
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKPOINTS = REPOSITORY / "tests/parity/checkpoints"
TOKENIZER = REPOSITORY / "tests/text/fixture/tokenizer.json"
CHAT_TEMPLATE = ("{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n"
                 "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}")

# Every method, and each way in which one takes parameters.
METHODS = """
[[method]]
name = "baseline"
[[method]]
name = "baseline"
model = "sender"
[[method]]
name = "skyline"
[[method]]
name = "skyline"
model = "sender"
[[method]]
name = "kvcomm"
ratio = [0.25, 0.5, 1.0]
[[method]]
name = "kvcomm"
ratio = 0.5
alpha = 0.25
mu = 0.7
sigma = 2
calibration_samples = 3
[[method]]
name = "kvcomm"
layers = [1, 2]
[[method]]
name = "random"
ratio = 0.5
seed = [0, 1]
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


def make_model(folder, checkpoint="tiny-llama"):
    """A tiny checkpoint with the tests' tokenizer and a chat template: a whole model folder."""
    folder.mkdir(parents=True)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(CHECKPOINTS / checkpoint / name, folder)
    shutil.copy(TOKENIZER, folder)
    config = {"bos_token": "<bos>", "eos_token": "<eos>", "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
