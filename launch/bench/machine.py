"""What this machine can do at best."""

import os
import platform
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

ROWS = (1, 8, 64, 512)  # of a matrix product: tokens that pass through a layer together


def best_s(work, repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def shapes(model: dict) -> list[tuple[int, int]]:
    """(out, in) of a layer's four products; q, k and v are one, gate and up too."""
    hidden, inner, head = model["hidden_size"], model["intermediate_size"], model["head_dim"]
    q, kv = model["num_attention_heads"] * head, model["num_key_value_heads"] * head
    return [(q + 2 * kv, hidden), (hidden, q), (2 * inner, hidden), (hidden, inner)]


def linear_onednn(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


# torch's own choice, and oneDNN where that choice is another library
LINEARS = {"float32": ("float32", torch.nn.functional.linear),
           "float32, oneDNN": ("float32", linear_onednn),
           "bfloat16": ("bfloat16", torch.nn.functional.linear)}


@torch.inference_mode()
def products(model: dict, kind: torch.dtype, linear) -> dict[int, float]:
    """FLOP/s of all layers' matrix products one after the other, by the number of rows."""
    layers = [[torch.randn(shape).to(kind) for shape in shapes(model)]
              for _ in range(model["num_hidden_layers"])]
    flops = 2 * sum(w.numel() for layer in layers for w in layer)
    found = {}
    for rows in ROWS:
        inputs = [torch.randn(rows, w.shape[1]).to(kind) for w in layers[0]]
        pairs = [pair for layer in layers for pair in zip(inputs, layer)]
        found[rows] = rows * flops / best_s(lambda: [linear(x, w) for x, w in pairs], 3)
    return found


def by_all_threads(kernel, array: np.ndarray):
    """numpy's kernels run on one thread each."""
    threads = torch.get_num_threads()
    pool, parts = ThreadPoolExecutor(threads), np.array_split(array, threads)
    return lambda: list(pool.map(kernel, parts))


@torch.inference_mode()
def reads() -> dict[str, float]:
    """Bytes/s of kernels that read 512 MiB, far beyond the caches, and write next to nothing."""
    big = torch.ones(16384, 8192)
    vector = torch.ones(1, 8192)
    kernels = {"torch sum": big.sum,
               "torch matrix-vector": lambda: torch.nn.functional.linear(vector, big),
               "numpy maximum": by_all_threads(np.max, big.numpy().reshape(-1).view(np.int64))}
    return {name: big.nbytes / best_s(kernel, 5) for name, kernel in kernels.items()}


def limits(model: dict, dtypes: set[str]) -> dict:
    """What this machine reaches with this model's shapes: FLOP/s by LINEARS and rows, bytes/s."""
    return {"products": {name: products(model, getattr(torch, dtype), linear)
                         for name, (dtype, linear) in LINEARS.items() if dtype in dtypes},
            "reads": reads()}


def git(*arguments: str) -> str:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True)
    return done.stdout.strip()


def describe() -> dict:
    names = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cpu = names[1] if names else platform.machine()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    changed = git("status", "--porcelain", "src", "cmake", "CMakeLists.txt", "CMakePresets.json")
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory_GiB": round(memory, 1),
            "kernel": platform.release(), "vectors": torch.backends.cpu.get_cpu_capability(),
            "commit": git("rev-parse", "HEAD") + (", sources changed" if changed else "")}


def load_average() -> list[float]:
    return [round(value, 2) for value in os.getloadavg()]
