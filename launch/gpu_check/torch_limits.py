#!/usr/bin/env python3
"""What this machine reaches by torch alone, as JSON on stdout; with a model what transformers' `generate` takes.

    python3 launch/gpu_check/torch_limits.py DEVICE [MODEL NEW_TOKENS PROMPT_TOKENS...]
"""

import functools
import json
import os
import sys
import time
import warnings

import torch

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
SIZES = {"cuda": {"copy_bytes": 2**32, "rows": 8192}, "cpu": {"copy_bytes": 2**27, "rows": 256}}


def wait(device: str):
    if device == "cuda":
        torch.cuda.synchronize()


def best_s(work, device: str, repeats: int = 10) -> float:
    times = []
    for _ in range(repeats + 2):  # the first two warm up
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - start)
    return min(times[2:])


def limits(device: str) -> dict:
    """A copy counts bytes read and written; the product is of random bfloat16."""
    sizes = SIZES[device]
    one = torch.ones(sizes["copy_bytes"], dtype=torch.uint8, device=device)
    two = torch.empty_like(one)
    copy_s = best_s(functools.partial(two.copy_, one), device)
    rows = sizes["rows"]
    a, b = (torch.randn(rows, rows, device=device, dtype=torch.bfloat16) for _ in range(2))
    return {"copy_gb_s": 2 * sizes["copy_bytes"] / copy_s / 1e9,
            "product_tflop_s": 2 * rows**3 / best_s(lambda: a @ b, device) / 1e12, "product_rows": rows}


class Clock:
    """A stopping criterion that notes when each new token is there, and stops nothing."""

    def __init__(self, device: str):
        self.device = device
        self.times = []
        self.tick()

    def tick(self):
        wait(self.device)
        self.times.append(time.perf_counter())

    def __call__(self, input_ids, scores, **_):
        self.tick()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


@torch.inference_mode()
def generate(folder: str, device: str, new_tokens: int, prompts: list[int]) -> list[dict]:
    """Prompts of these lengths, batch 1, greedy, sdpa; a short one warms up."""
    from transformers import AutoModelForCausalLM, StoppingCriteriaList
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.bfloat16, attn_implementation="sdpa")
    model = model.to(device).eval()
    found = []
    for tokens in [prompts[0], *prompts]:
        ids = torch.randint(100, 40000, (1, tokens), device=device)
        clock = Clock(device)
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False,
                       pad_token_id=2, stopping_criteria=StoppingCriteriaList([clock]))
        times = clock.times
        found.append({"prompt_tokens": tokens, "prefill_ms": 1e3 * (times[1] - times[0]),
                      "step_ms": 1e3 * (times[-1] - times[1]) / (len(times) - 2)})
    return found[1:]


def main():
    warnings.simplefilter("ignore")
    device = sys.argv[1]
    if len(sys.argv) == 2:
        print(json.dumps(limits(device)))
    else:
        folder, new_tokens, *prompts = sys.argv[2:]
        print(json.dumps({"transformers": generate(folder, device, int(new_tokens), list(map(int, prompts)))}))


if __name__ == "__main__":
    main()
