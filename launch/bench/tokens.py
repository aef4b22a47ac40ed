"""Tokens per second of the model alone: beside llama.cpp, and beside what the machine can do.

Nothing here imports torch: what is read is tested without it.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from program import PROGRAM, ROOT

PEERS = ROOT / ".bench-peers"  # llama.sh's


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
TOKENS = tuple(Tokens(dtype, *shape) for dtype in ("float32", "bfloat16")
               for shape in ((1, 512, 128), (8, 64, 32)))


@dataclass(frozen=True)
class Speed:
    """Tokens per second, of all sequences together; shares of what the machine was found to do."""

    prompt: float
    generation: float
    of_product: float = 0  # prompts' FLOP/s of bare matrix products, kvcomm's alone
    of_read: float = 0  # generation's bytes/s of a bare read, the same


def kvcomm(case: Tokens, model: str, threads: int) -> Speed:
    """It measures the machine's limits between its own work, so that both are slowed alike."""
    with tempfile.TemporaryDirectory(prefix="kvcomm-bench-tokens-") as folder:
        path = Path(folder) / "speed.json"
        output_of(PROGRAM, "bench", "model", "--model", ROOT / "models" / model,
                  "--prompt", case.prompt, "--generate", case.generate, "--batch", case.batch,
                  "--threads", threads, "--dtype", case.dtype, "--repeats", 1, "--json", path)
        return read_kvcomm(path.read_text())


def read_kvcomm(text: str) -> Speed:
    """Of the record of `kvcomm bench model` with one row."""
    [row] = json.loads(text)["rows"]
    return Speed(*(row[key] for key in ("prompt_tokens_per_s", "generated_tokens_per_s",
                                        "prefill_share_of_product", "decode_share_of_read")))


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


def line(case: Tokens, pairs: list[tuple[Speed, Speed | None]]) -> dict:
    """All rounds of a case: kvcomm's and llama.cpp's speeds."""
    ours = [speed for speed, _ in pairs]
    figures = {"of product": [speed.of_product for speed in ours],
               "of read": [speed.of_read for speed in ours]}
    if all(theirs for _, theirs in pairs):
        figures |= {part: [getattr(a, part) / getattr(b, part) for a, b in pairs]
                    for part in ("prompt", "generation")}
    return {"name": str(case), **asdict(case), "figures": figures,
            "kvcomm": [asdict(speed) for speed in ours],
            "llama.cpp": [asdict(theirs) for _, theirs in pairs if theirs]}
