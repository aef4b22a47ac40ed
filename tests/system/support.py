"""What the system tests share: a tiny model folder, made-up data, sweeps run by the real program.

Run by ctest as: <test>.py <repository> <build folder> [unittest's arguments]
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import pandas as pd
from tiny import (CHECKPOINTS, METHODS, TOKENIZER, WORDS, dataset_table, make_model,  # noqa: F401  also for the tests
                  method_table, pair_table, toml_keys)

REPOSITORY, BUILD = (Path(argument).resolve() for argument in sys.argv[1:3])
PROGRAM = BUILD / "kvcomm"
TABLES = ("samples", "senders", "scores", "questions", "cells", "layers", "studies", "recalibrations", "ranks",
          "failures", "runs")
MEASURED = re.compile(r"_(s|joules)$")
DEVICE = os.environ.get("KVCOMM_TEST_DEVICE", "cpu")  # where models run, whatever the machine has
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
               "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "XDG_CACHE_HOME": str(BUILD / "cache")}


def demo_records(count, seed=1, words=(3, 40)):
    """Records of the data set `demo`, of unequal lengths."""
    rng = random.Random(seed)
    return [{"id": f"s{i:04}", "context": " ".join(rng.choices(WORDS, k=rng.randint(*words))) + ".",
             "question": "What did the " + " ".join(rng.choices(WORDS, k=rng.randint(1, 6))) + "?",
             "answers": [rng.choice(WORDS)]} for i in range(count)]


@dataclass
class Outcome:
    """How a run ended."""

    code: int
    out: str
    log: str
    seconds: float = 0.0

    def __str__(self):
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.log}"


def started(arguments, ranks=1, environment=None, **options):
    """The program as a running process, at the head of a process group of its own."""
    command = [str(PROGRAM), *map(str, arguments)]
    if ranks > 1:
        command = ["mpirun", "-np", str(ranks), "--oversubscribe", "--bind-to", "none", "--mca",
                   "mpi_yield_when_idle", "1", *command]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, text=True, env={**ENVIRONMENT, **(environment or {})}, start_new_session=True,
                            **options)


def finished(process, timeout_s=60):
    begin = time.monotonic()
    try:
        out, log = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, log = process.communicate()
        raise AssertionError(f"did not end within {timeout_s} s\n{out}\n{log}") from None
    return Outcome(process.returncode, out, log, time.monotonic() - begin)


def call(arguments, ranks=1, timeout_s=60, **options):
    return finished(started(arguments, ranks, **options), timeout_s)


def children(pid):
    """The program's processes below mpirun, by rank; the process itself in a world of one."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if Path(os.readlink(entry / "exe")) != PROGRAM.resolve():
                continue
            environment = dict(item.split("=", 1) for item in
                               (entry / "environ").read_bytes().decode(errors="replace").split("\0") if "=" in item)
            group = os.getsid(int(entry.name))
        except (OSError, PermissionError):
            continue
        if group == os.getsid(pid):
            found[int(environment.get("OMPI_COMM_WORLD_RANK", 0))] = int(entry.name)
    return found


def tables(path):
    """Each table as a data frame, texts as str."""
    with h5py.File(path) as file:
        frames = {name: pd.DataFrame(file[name][:]) for name in TABLES}
    for frame in frames.values():
        for name in frame.columns:
            if frame[name].dtype == object or frame[name].dtype.kind == "S":
                frame[name] = [text.decode() if isinstance(text, bytes) else text for text in frame[name]]
    return frames


def rows(path, leave_out=()):
    """What /samples says but for its durations and joules, sorted: what two runs of the same work must share."""
    samples = tables(path)["samples"]
    kept = [name for name in samples.columns if not MEASURED.search(name) and name not in leave_out]
    frame = samples[kept].sort_values(["pair", "dataset", "method", "sample"])
    return [dict(zip(kept, row)) for row in frame.itertuples(index=False)]


@dataclass
class Sweep:
    """A sweep's file and folder; run() runs it."""

    folder: Path
    toml: Path
    default_sets: list = field(default_factory=list)

    def arguments(self, command, output, sets=(), more=()):
        all_sets = [argument for value in [*self.default_sets, *sets] for argument in ("--set", value)]
        return [command, self.toml, *all_sets, "--output", self.folder / output, *more]

    def start(self, output, ranks=1, sets=(), more=(), **options):
        return started(self.arguments("run", output, sets, more), ranks, **options)

    def run(self, output, ranks=1, sets=(), more=(), timeout_s=60, **options):
        return finished(self.start(output, ranks, sets, more, **options), timeout_s)

    def results(self, output):
        return self.folder / output / "results.h5"

    def journal_lines(self, output):
        """All whole lines of all journals, read as they are written."""
        lines = []
        for path in sorted((self.folder / output / "journal").glob("*.jsonl")):
            for line in path.read_text(errors="replace").splitlines():
                try:
                    lines.append(json.loads(line))
                except json.JSONDecodeError:
                    pass
        return lines

    def samples_stored(self, output):
        return sum(line["t"] == "sample" for line in self.journal_lines(output))


class SystemTest(unittest.TestCase):
    """A folder with the models org/tiny and org/other, and sweeps on them."""

    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kvcomm-system-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        make_model(cls.folder / "models/org/tiny")

    def sweep(self, name, methods=METHODS, records=None, pairs=None, dtype="float32", run="", max_new_tokens=6):
        """Writes name.toml and its data set; by default one pair of equal models and ten samples."""
        data = self.folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(record) + "\n" for record in records or demo_records(10)))
        datasets = dataset_table("demo", data, max_new_tokens=max_new_tokens)
        return self.sweep_on(name, datasets, methods, pairs, dtype, run)

    def sweep_on(self, name, datasets, methods=METHODS, pairs=None, dtype="float32", run="", paths=""):
        """Writes name.toml for data that are there; `run` and `paths` are further lines of these tables."""
        pairs = pairs if pairs is not None else pair_table("org/tiny")
        toml = self.folder / f"{name}.toml"
        toml.write_text(f'[run]\ndevice = "{DEVICE}"\ndtype = "{dtype}"\nthreads = 1\n{run}\n'
                        f'[paths]\nmodels = "{self.folder}/models"\ndata = "{self.folder}"\n{paths}\n'
                        f"{pairs}\n{datasets}\n{methods}")
        return Sweep(self.folder, toml)

    @classmethod
    def sweep_that_ran(cls, *arguments, **options):
        """A sweep, of which an undisturbed run is in the folder "whole"."""
        sweep = cls().sweep(*arguments, **options)
        outcome = sweep.run("whole")
        assert outcome.code == 0, outcome
        return sweep

    def check_undisturbed(self, path, undisturbed, but=()):
        """What is at `path` is what an undisturbed run made, sample by sample: but for seconds, joules, attempts, the
        header bytes that samples of a batch share out among them, and the samples `but`."""
        kept = [[row for row in rows(results, ("attempt", "header_bytes")) if row["sample"] not in but]
                for results in (path, undisturbed)]
        self.assertEqual(*kept)

    def check(self, outcome, code=0):
        self.assertEqual(outcome.code, code, str(outcome))
        return outcome

    def wait_for(self, condition, process, what, timeout_s=30):
        end = time.monotonic() + timeout_s
        while not condition():
            if process.poll() is not None:
                raise AssertionError(f"ended before {what}:\n{finished(process)}")
            if time.monotonic() > end:
                os.killpg(process.pid, signal.SIGKILL)
                raise AssertionError(f"no {what} within {timeout_s} s:\n{finished(process)}")
            time.sleep(0.002)


def main():
    """Exits with 77, which ctest reports as skipped, where no test was run."""
    result = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2, exit=False).result
    for _, reason in result.skipped:
        print(f"SKIPPED: {reason}", file=sys.stderr)
    ran = result.testsRun - sum(isinstance(test, unittest.TestCase) for test, _ in result.skipped)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(0 if ran > 0 else 77 if result.skipped else 1)
