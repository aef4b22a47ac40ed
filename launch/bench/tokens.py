"""Tokens per second of the model alone: beside llama.cpp, and beside what the machine can do.

Nothing here imports torch: what is read and counted is tested without it.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from program import PROGRAM, ROOT

PEERS = ROOT / ".bench-peers"  # llama.sh's
WIDTH_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Tokens:
    """Prompts that are read together, and the tokens that each is answered with."""

    dtype: str
    batch: int
    prompt: int
    generate: int

    def __str__(self):
        return f"tokens {self.dtype} batch {self.batch}"

    @property
    def beside_llama(self) -> bool:
        return self.batch == 1  # llama-bench reads one sequence


# As llama-bench is usually given; and a batch of prompts as long as the data sets'.
TOKENS = tuple(Tokens(dtype, *shape) for dtype in WIDTH_BYTES
               for shape in ((1, 512, 128), (8, 64, 32)))


@dataclass(frozen=True)
class Speed:
    """Tokens per second, of all sequences together."""

    prompt: float
    generation: float


def kvcomm(case: Tokens, model: str, threads: int) -> Speed:
    with tempfile.TemporaryDirectory(prefix="kvcomm-bench-tokens-") as folder:
        path = Path(folder) / "speed.json"
        output_of(PROGRAM, "bench", "model", "--model", ROOT / "models" / model,
                  "--prompt", case.prompt, "--generate", case.generate, "--batch", case.batch,
                  "--threads", threads, "--dtype", case.dtype, "--repeats", 1, "--json", path)
        return read_kvcomm(path.read_text())


def read_kvcomm(text: str) -> Speed:
    found = json.loads(text)
    return Speed(found["prompt_tokens_per_s"], found["generated_tokens_per_s"])


def llama(case: Tokens, threads: int) -> Speed:
    """Generation goes on behind the prompt, as kvcomm's does."""
    command = (PEERS / "llama-bench", "--model", PEERS / f"{case.dtype}.gguf", "--threads", threads,
               "--repetitions", 1, "--output", "json")
    return read_llama(
        output_of(*command, "--n-prompt", case.prompt, "--n-gen", 0),
        output_of(*command, "--n-prompt", 0, "--n-gen", case.generate, "--n-depth", case.prompt))


def read_llama(*texts: str) -> Speed:
    """Of llama-bench's JSON: tests that either read a prompt or generate."""
    tests = [test for text in texts for test in json.loads(text)]
    return Speed(prompt=next(t["avg_ts"] for t in tests if t["n_prompt"]),
                 generation=next(t["avg_ts"] for t in tests if t["n_gen"]))


def output_of(*command) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def llama_version() -> str:
    return f"llama-bench of llama-cpp-python {(PEERS / '.built').read_text().split()[0]}"


def why_no_llama() -> str:
    """Makes llama-bench and its models where they are missing. Empty, or what the record says."""
    if subprocess.run([ROOT / "launch/bench/llama.sh"]).returncode == 0:
        return ""
    return "not measured: llama-bench could not be made here"


# ---- what a token asks of the machine

def shapes(model: dict) -> list[tuple[int, int]]:
    """(out, in) of a layer's four products; q, k and v are one, gate and up too."""
    hidden, inner, head = model["hidden_size"], model["intermediate_size"], model["head_dim"]
    q, kv = model["num_attention_heads"] * head, model["num_key_value_heads"] * head
    return [(q + 2 * kv, hidden), (hidden, q), (2 * inner, hidden), (hidden, inner)]


def layer_weights(model: dict) -> int:
    return sum(out * of for out, of in shapes(model))


def prompt_flops(model: dict, tokens: int) -> float:
    """Of reading one prompt: products, attention's lower triangle, the last token's logits."""
    width = model["num_attention_heads"] * model["head_dim"]
    layer = 2 * tokens * layer_weights(model) + 2 * tokens * tokens * width
    return model["num_hidden_layers"] * layer + 2 * model["hidden_size"] * model["vocab_size"]


def step_bytes(model: dict, case: Tokens) -> float:
    """Read for a token of each sequence: the weights once, keys and values of half way through."""
    kv = 2 * model["num_key_value_heads"] * model["head_dim"]
    rows = case.batch * (case.prompt + case.generate / 2)
    layer = layer_weights(model) + kv * rows
    values = model["num_hidden_layers"] * layer + model["hidden_size"] * model["vocab_size"]
    return values * WIDTH_BYTES[case.dtype]


def figures(case: Tokens, model: dict, ours: Speed, theirs: Speed | None, limit: float) -> dict:
    """One round's. limit: bytes/s where generation is looked at, FLOP/s where prompts are."""
    if not case.beside_llama:
        flops = ours.prompt / case.prompt * prompt_flops(model, case.prompt)
        return {"of the product": flops / limit}
    found = {"of the read": ours.generation / case.batch * step_bytes(model, case) / limit}
    if theirs:
        found |= {"prompt": ours.prompt / theirs.prompt,
                  "generation": ours.generation / theirs.generation}
    return found


def line(case: Tokens, rounds: list[dict]) -> dict:
    """All rounds of a case, each as bench.py's `tokens_round` gives it."""
    names = rounds[0]["figures"]
    return {"name": str(case), **asdict(case),
            "figures": {name: [one["figures"][name] for one in rounds] for name in names},
            "limits": [one["limit"] for one in rounds],
            **{who: [asdict(one[who]) for one in rounds if one[who]]
               for who in ("kvcomm", "llama.cpp")}}
