#!/usr/bin/env python3
"""Checks this machine with a bundle: every step in its time, correctness before speed, a line a check.

Started by launch/gpu_check.sh run; standard library alone, since what needs torch runs in a process of its own.
"""

import argparse
import datetime
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import correctness
import speed
from bundle import ROOT, Bundle, leave
from session import Failed, Session, Skipped

ALL_S = 300
LEAST_S = 2  # of a step that is begun
WEIGHTS_BYTES = 20e9  # of the 8B shape and what lies beside them


@dataclass
class Step:
    run: Callable[[Session], None]
    limit_s: float


STEPS = {"env": Step(correctness.env, 30), "nccl": Step(correctness.nccl, 45), "parity": Step(correctness.parity, 45),
         "tiny": Step(correctness.tiny, 90), "speed": Step(speed.speed, 120), "limits": Step(speed.limits, 60),
         "launches": Step(speed.launches, 60), "sanitizer": Step(correctness.sanitizer, 60)}


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="launch/gpu_check.sh run", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(STEPS), metavar="STEP",
                        help=f"only these of {', '.join(STEPS)}")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks", metavar="DIR",
                        help="the folder of the log and the record (default: results/benchmarks)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda",
                        help="cpu rehearses it all in small, without a GPU")
    parser.add_argument("--bundle", type=Path, default=ROOT / "build-cuda/gpu_bundle.tar.xz", help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    for name in args.only:
        if name not in STEPS:
            parser.error(f"there is no step '{name}'; the steps are {', '.join(STEPS)}")
    return args


def card_name(device: str) -> str:
    """The first GPU's name; in a rehearsal the processor's."""
    if device == "cpu":
        names = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return f"CPU {names[1] if names else 'of an unknown kind'}"
    try:
        done = subprocess.run(["nvidia-smi", "-i", "0", "--query-gpu=name", "--format=csv,noheader"],
                              capture_output=True, text=True)
    except FileNotFoundError:
        leave("there is no nvidia-smi here, so no GPU: `--device cpu` rehearses without one.")
    if done.returncode:
        leave(f"nvidia-smi ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def record_path(folder: Path, card: str) -> Path:
    """<date>-<card>-gpu-check.json, with a number where that is taken."""
    kind = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    stem = f"{datetime.date.today().isoformat()}-{kind}-gpu-check"
    folder.mkdir(parents=True, exist_ok=True)
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1000))]
    return next(folder / f"{name}.json" for name in names if not any((folder / name).with_suffix(kind).exists()
                                                                     for kind in (".json", ".log")))


def commit() -> str:
    """Of the working tree; it may have been carried without git or its history."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
                              capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def run_step(session: Session, name: str, end: float):
    """One step; whatever it meets is noted, and the next ones go on."""
    left_s = end - time.monotonic()
    session.begin(name, min(STEPS[name].limit_s, left_s))
    if left_s < LEAST_S:
        session.note("time", "failed", f"not begun: the {ALL_S} s were used up by the steps before it")
        return
    try:
        STEPS[name].run(session)
    except Skipped as why:
        session.note("rest", "skipped", str(why))
    except Failed as failure:
        session.note("rest", "failed", str(failure))
    except Exception as error:
        session.write(traceback.format_exc())
        session.note("rest", "failed", f"{type(error).__name__}: {error}")


def memory_folder() -> str | None:
    """Where weights are read fastest, if they fit in."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > WEIGHTS_BYTES else None


def write_record(path: Path, about: dict, session: Session) -> dict[str, int]:
    """What was found so far, so that nothing is lost where the machine goes; returns how many checks ended how."""
    counts = {kind: sum(check.outcome == kind for check in session.checks) for kind in ("passed", "failed", "skipped")}
    text = json.dumps({"about": about | counts, "checks": session.record()}, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return counts


def main(words: list[str]) -> int:
    begin = time.monotonic()
    args = arguments(words)
    card = card_name(args.device)
    path = record_path(args.output, card)
    about = {"date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "card": card,
             "device": args.device, "commit": commit(), "command": shlex.join(["launch/gpu_check.sh", "run", *words]),
             "python": sys.version.split()[0], "versions": correctness.versions()}
    with ExitStack() as stack:
        folders = tuple(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kvcomm-gpu-check-", dir=place)))
                        for place in (None, memory_folder()))
        bundle = Bundle(args.bundle, folders[0] / "bundle", folders[1], args.device)
        log = stack.enter_context(path.with_suffix(".log").open("w", encoding="utf-8"))
        about["bundle"] = bundle.fingerprint
        session = Session(bundle=bundle, device=args.device, card=card, folders=folders, log=log)
        for name in (name for name in STEPS if name in args.only):
            run_step(session, name, begin + ALL_S)
            about["seconds"] = round(time.monotonic() - begin, 1)
            counts = write_record(path, about, session)
    print(", ".join(f"{number} {kind}" for kind, number in counts.items()), f"in {about['seconds']} s: {path}")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
