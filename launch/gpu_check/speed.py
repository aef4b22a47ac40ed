"""The steps that measure: speed, limits, launches."""

import json
import math
import subprocess
from pathlib import Path

import journal
import shapes
import sweeps
from session import Failed, Session, Skipped, json_of

NEW_TOKENS = 32
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
# Words of a context, nearly a token each; the shape; the larger batch. `cpu` is a rehearsal.
SIZES = {"cuda": {"shape": "8B", "short": 950, "long": {"long8k": 7800, "long16k": 15600}, "batch": 64, "alone": 4},
         "cpu": {"shape": "small", "short": 60, "long": {"long8k": 200, "long16k": 400}, "batch": 8, "alone": 2}}
# Calls that launch work, and those in which the host waits for the GPU.
LAUNCHES = ("LaunchKernel", "GraphLaunch", "LaunchCooperative")
WAITS = ("StreamSynchronize", "EventSynchronize", "CtxSynchronize", "DeviceSynchronize")
COPIES = ("Memcpy",)


def model(session: Session, shape: str) -> str:
    """The name of a model with random weights of this shape; made once, with the bundle's tokenizer."""
    name, folder = f"random/{shape}", session.memory / "models/random" / shape
    if not (folder / TOKENIZER_FILES[0]).exists():
        done = session.python("random_model.py", folder, shape, session.device)
        for file in TOKENIZER_FILES:
            (folder / file).write_bytes((session.bundle.folder / "tokenizer" / file).read_bytes())
        size = shapes.all_bytes(shapes.SHAPES[shape])
        session.passed(f"weights of {shape}", f"{size / 1e9:.1f} GB of random bfloat16 made in {done.seconds:.1f} s")
    return name


class MemoryWatch:
    """The most memory in use on the first GPU while it is open, as nvidia-smi tells it five times a second."""

    def __init__(self, session: Session):
        self.path = session.folder / "memory"
        self.on_gpu = session.on_gpu
        self.peak_gib = math.nan

    def __enter__(self):
        if self.on_gpu:
            command = ["nvidia-smi", "-i", "0", "--query-gpu=memory.used", "--format=csv,noheader,nounits",
                       "-lms", "200"]
            with self.path.open("w") as file:
                self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        if self.on_gpu:
            self.process.terminate()
            self.process.wait()
            used = [int(line) for line in self.path.read_text().split() if line.isdigit()]
            self.peak_gib = max(used, default=math.nan) / 1024


# ---- speed

def measured(rows: list[dict], batch: int) -> dict:
    """One cell's numbers; a batch alone leaves the first one out, which warms up."""
    rows = sorted(rows, key=lambda row: row["sample"])
    rows = rows[1:] if batch == 1 and len(rows) > 1 else rows
    return {"context_tokens": rows[0]["context_tokens"], "prompt_tokens": rows[0]["prompt_tokens"],
            "sender_prefill_ms": 1e3 * journal.batch_s(rows, batch, "sender_prefill_s"),
            "prefill_ms": 1e3 * journal.batch_s(rows, batch, "receiver_prefill_s"),
            "step_ms": 1e3 * journal.step_s(rows, batch), "wire_gb_s": journal.wire_gb_s(rows),
            "payload_bytes": int(journal.summed(rows, "payload_bytes"))}


def in_words(found: dict) -> str:
    words = [f"{found['context_tokens'] + found['prompt_tokens']} tokens a sample"]
    if found["context_tokens"]:
        words.append(f"sender's prefill {found['sender_prefill_ms']:.1f} ms")
    words += [f"prefill {found['prefill_ms']:.1f} ms", f"{found['step_ms']:.2f} ms a step"]
    if not math.isnan(found["wire_gb_s"]):  # nothing crosses, or it takes no time
        words.append(f"wire {found['wire_gb_s']:.1f} GB/s")
    return ", ".join(words)


def note_run(session: Session, name: str, sweep: Path, batch: int, *sets: str) -> dict:
    """Runs the sweep and notes each of its cells but the warm-up's."""
    with MemoryWatch(session) as memory:
        done = session.kvcomm(name, sweep, *sets, f"run.batch={batch}")
    shape = shapes.SHAPES[SIZES[session.device]["shape"]]
    load_s = done.ranks[-1]["load_s"]
    peak = f"peak {memory.peak_gib:.1f} GiB, " if session.on_gpu else ""
    session.passed(f"batch {batch}", f"{peak}weights loaded at {shapes.all_bytes(shape) / load_s / 1e9:.2f} GB/s",
                   peak_gib=memory.peak_gib, load_s=load_s, failures=done.failures)
    found = {}
    for place in dict.fromkeys((row["dataset"], row["method"]) for row in done.samples):
        if place[0] == "warm":
            continue
        rows = done.of(*place)
        found[place] = measured(rows, min(batch, len(rows)))
        session.passed(f"{place[0]}, {place[1]}, batch {min(batch, len(rows))}", in_words(found[place]), **found[place])
    return found


def speed(session: Session):
    sizes = SIZES[session.device]
    name = model(session, sizes["shape"])
    folder, batch = session.memory, sizes["batch"]
    for stem, words in {"warm": [20] * batch, "short": [sizes["short"]] * sizes["alone"],
                        **{stem: [count] for stem, count in sizes["long"].items()},
                        "many": [sizes["short"]] * batch}.items():
        sweeps.write_records(folder / f"{stem}.jsonl", words)
    datasets = {stem: sweeps.dataset(folder / f"{stem}.jsonl", 4 if stem == "warm" else NEW_TOKENS)
                for stem in ("warm", "short", *sizes["long"], "many")}
    run = {"dtype": "bfloat16", "device": session.device, "timeout_s": 60}
    few = "".join(datasets[stem] for stem in ("warm", "short", *sizes["long"]))
    alone = sweeps.sweep(folder / "alone.toml", [name], few, sweeps.TWO_METHODS, **run)
    many = sweeps.sweep(folder / "many.toml", [name], datasets["warm"] + datasets["many"], sweeps.TWO_METHODS, **run)
    session.shared["alone"] = note_run(session, "alone", alone, 1, "dataset.warm.limit=2")
    # over the real wire, though it ends where it began
    session.shared["many"] = note_run(session, "many", many, batch, *(["run.transport=nccl"] if session.on_gpu else []))


# ---- limits

def skylines(session: Session, part: str = "alone") -> list[dict]:
    """What `speed` measured of skyline in this run, if it did."""
    return [found for (_, method), found in session.shared.get(part, {}).items() if method.startswith("skyline")]


def note_ratios(session: Session, found: dict):
    """kvcomm's numbers over the machine's."""
    shape = shapes.SHAPES[SIZES[session.device]["shape"]]
    floor_ms = 1e3 * shapes.read_a_step(shape) / (found["copy_gb_s"] * 1e9)
    for one in skylines(session):
        flops = shapes.prefill_flops(shape, one["prompt_tokens"])
        share = flops / (one["prefill_ms"] / 1e3) / (found["product_tflop_s"] * 1e12)
        session.passed(f"{one['prompt_tokens']} tokens, batch 1, of the limits",
                       f"a step takes {one['step_ms'] / floor_ms:.2f} times as long as reading its weights at the "
                       f"copy's bandwidth ({floor_ms:.2f} ms); prefill reaches {share:.0%} of the product's FLOP/s",
                       step_over_floor=one["step_ms"] / floor_ms, prefill_share=share)


def note_peer(session: Session, found: dict):
    """Transformers' `generate` of the same weights on prompts of the same lengths."""
    for one, peer in zip(skylines(session), found["transformers"], strict=True):
        session.passed(f"{peer['prompt_tokens']} tokens, batch 1, transformers",
                       f"prefill {peer['prefill_ms']:.1f} ms, {peer['step_ms']:.2f} ms a step; kvcomm's take "
                       f"{one['prefill_ms'] / peer['prefill_ms']:.2f} and {one['step_ms'] / peer['step_ms']:.2f} of "
                       "that",
                       **peer, prefill_ratio=one["prefill_ms"] / peer["prefill_ms"],
                       step_ratio=one["step_ms"] / peer["step_ms"])


def limits(session: Session):
    found = json_of(session.python("torch_limits.py", session.device))
    session.passed("torch", f"a copy moves {found['copy_gb_s']:.0f} GB/s, a bfloat16 product of "
                   f"{found['product_rows']} rows reaches {found['product_tflop_s']:.3g} TFLOP/s", **found)
    measured_here = skylines(session)
    if not measured_here:
        raise Skipped("no ratios: they want what the step speed measures in the same run")
    note_ratios(session, found)
    folder = session.memory / "models" / model(session, SIZES[session.device]["shape"])
    prompts = [one["prompt_tokens"] for one in measured_here]
    note_peer(session, json_of(session.python("torch_limits.py", session.device, folder, NEW_TOKENS, *prompts)))


# ---- launches

def count_of(calls: dict[str, int], names: tuple[str, ...]) -> int:
    return sum(number for call, number in calls.items() if any(name in call for name in names))


def per_step(few: dict, many: dict, steps: int) -> dict[str, float]:
    """Calls a decoding step: two runs that differ by so many steps alone. A launch by the runtime is one of the
    driver's too, where CUPTI shows both: the larger count is taken."""
    found = {}
    for what, names in (("launches", LAUNCHES), ("waits", WAITS), ("copies", COPIES)):
        found[what] = max((count_of(many.get(domain, {}), names) - count_of(few.get(domain, {}), names)) / steps
                          for domain in ("driver", "runtime"))
    return found


def calls_of(session: Session, sweep: Path, batch: int, new_tokens: int) -> dict:
    calls = session.folder / f"calls-{batch}-{new_tokens}.json"
    environment = {"CUDA_INJECTION64_PATH": str(session.bundle.folder / "lib/libkvc_count_calls.so"),
                   "KVCOMM_CALLS": str(calls)}
    session.kvcomm(f"calls-{batch}-{new_tokens}", sweep, f"run.batch={batch}", f"run.limit={batch}",
                   f"dataset.calls.max_new_tokens={new_tokens}", environment=environment)
    if not calls.is_file():
        raise Failed("CUDA calls were not counted: CUPTI could not be loaded or subscribed to; the log has its reason")
    return json.loads(calls.read_text())


def launches(session: Session):
    session.need_gpu("counting CUDA's calls")
    few, many = 4, 12  # new tokens of two runs
    records = session.folder / "calls.jsonl"
    sweeps.write_records(records, [60] * SIZES["cuda"]["batch"])
    name = model(session, "thin")
    sweep = sweeps.sweep(session.memory / "calls.toml", [name], sweeps.dataset(records, few), sweeps.KVCOMM,
                         dtype="bfloat16", device="cuda", timeout_s=60)
    for batch in (1, SIZES["cuda"]["batch"]):
        found = per_step(*(calls_of(session, sweep, batch, tokens) for tokens in (few, many)), many - few)
        session.passed(f"kvcomm, batch {batch}, 16 of 32 layers with context", f"{found['launches']:.0f} launches, "
                       f"{found['waits']:.1f} waits of the host and {found['copies']:.1f} copies a decoding step",
                       **found)
