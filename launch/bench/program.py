"""Runs build/kvcomm on one case and reads what it did from its results.h5."""

import json
import subprocess
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from measured import METHODS, Case, Measured

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build/kvcomm"
PREFILL = ("sender_prefill_s", "receiver_prefill_s")
DECODE = ("sender_decode_s", "decode_s")
WARM_UP = "demo"  # the data set of the batch that is not timed
WARM_UP_SAMPLES = 8  # of a default batch, which may be larger

SWEEP = """
[run]
dtype = "{case.dtype}"
device = "cpu"
threads = {threads}
batch = {case.batch}
limit = {samples}
[paths]
models = "{root}/models"
data = "{data}"
[[pair]]
sender = "{model}"
receiver = "{model}"
[[dataset]]
name = "demo"
path = "{root}/launch/data/demo.jsonl"
limit = {warm_up}
[[dataset]]
name = "{case.dataset}"
max_new_tokens = {max_new_tokens}
[[method]]
name = "{method}"
{settings}
"""


def run(case: Case, **values) -> Measured:
    """One process, one lane. `values` fill SWEEP.

    What is timed is the lane's life in this process: reading prompts, encoding, both ends' work,
    decoding text, scoring, waiting for tasks and for the journal. Left out are start-up (the
    process's start, the plan, the weights' loading), the calibration, which a user pays once for a
    whole data set and whose outcome the peer is given, the warm-up batch, and the writing of
    results.h5 at the end. /ranks' columns add up to the lane's life.
    """
    with tempfile.TemporaryDirectory(prefix="kvcomm-bench-") as folder:
        sweep = Path(folder) / "sweep.toml"
        method = METHODS[case.method]
        sweep.write_text(SWEEP.format(case=case, root=ROOT, method=method.name or case.method,
                                      settings=method.settings,
                                      warm_up=case.batch or WARM_UP_SAMPLES, **values))
        command = [PROGRAM, "run", sweep, "--output", folder]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        wall_s = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"kvcomm ended with {done.returncode} on {case}:\n{done.stderr}")
        with h5py.File(Path(folder) / "results.h5") as file:
            return measured(file, case, wall_s)


def measured(file: h5py.File, case: Case, wall_s: float) -> Measured:
    samples, rank = file["samples"][:], file["ranks"][:][0]
    warm_up = samples["dataset"] == WARM_UP.encode()
    prefill_s, decode_s = (sum(samples[name] for name in names) for names in (PREFILL, DECODE))
    busy = prefill_s + decode_s + samples["wire_exposed_s"]
    life_s = sum(float(rank[name]) for name in rank.dtype.names if name.endswith("_s"))
    rows = np.sort(samples[~warm_up], order="sample")
    layers = file["layers"][:]
    chosen = layers[(layers["dataset"] == case.dataset.encode()) & (layers["selected"] != 0)]
    return Measured(
        seconds=life_s - float(rank["load_s"]) - float(rank["calibration_s"])
        - float(busy[warm_up].sum()),
        prefill_s=float(prefill_s[~warm_up].sum()),
        decode_s=float(decode_s[~warm_up].sum()),
        answers=[text.decode() if isinstance(text, bytes) else text for text in rows["answer"]],
        context_tokens=rows["context_tokens"].tolist(),
        prompt_tokens=rows["prompt_tokens"].tolist(),
        output_tokens=rows["output_tokens"].tolist(),
        layers=sorted(chosen["layer"].tolist()),
        batch=case.batch or max(json.loads(file["runs"][0]["batches"]).values()),
        about={"busy_s": float(busy[~warm_up].sum()), "process_s": wall_s,
               "load_s": float(rank["load_s"]), "version": str(file.attrs["software_version"])})


def model_config(model: str) -> dict:
    return json.loads((ROOT / "models" / model / "config.json").read_text())
