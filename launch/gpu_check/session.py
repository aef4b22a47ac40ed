"""One check of a machine: its folders, its clock, how programs are run in it, and what was found."""

import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import journal
from bundle import Bundle

GRACE_S = 3  # between the request to end and the end


class Skipped(Exception):
    """Cannot be done here: the sentence says why."""


class Failed(Exception):
    """Was done and is not as it should be."""


@dataclass
class Check:
    step: str
    what: str
    outcome: str  # passed, failed, skipped
    found: str  # in words
    seconds: float
    values: dict = field(default_factory=dict)


@dataclass
class Done:
    """How a program ended."""

    code: int
    out: str  # standard output and errors
    seconds: float

    @property
    def end(self) -> str:
        """The last words."""
        return " / ".join(line.strip() for line in self.out.strip().splitlines()[-3:])


def stop(process: subprocess.Popen):
    """Ends a program that was started here, with what it started; mpirun ends its ranks itself when asked."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_S)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


class Session:
    def __init__(self, *, bundle: Bundle, device: str, card: str, folders: tuple[Path, Path], log):
        self.bundle, self.device, self.card, self.log = bundle, device, card, log
        self.folder, self.memory = folders  # for small files; for weights, in memory where that is possible
        self.checks: list[Check] = []
        self.shared: dict = {}  # what a step leaves for those after it
        self.step, self.begun, self.end = "", 0.0, 0.0

    def begin(self, step: str, limit_s: float):
        self.step, self.begun = step, time.monotonic()
        self.end = self.begun + limit_s

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    def need_gpu(self, what: str):
        if not self.on_gpu:
            raise Skipped(f"{what} needs a GPU, and this is --device {self.device}")

    # ---- what was found

    def note(self, what: str, outcome: str, found: str, **values):
        seconds = time.monotonic() - self.begun
        self.begun += seconds
        values = {name: None if isinstance(value, float) and not math.isfinite(value) else value
                  for name, value in values.items()}  # JSON has no NaN
        self.checks.append(Check(self.step, what, outcome, found, round(seconds, 2), values))
        line = f"{self.card} | {self.step} | {what} | {outcome}: {found} ({seconds:.1f} s)"
        print(line, flush=True)
        self.write(line)

    def passed(self, what: str, found: str, **values):
        self.note(what, "passed", found, **values)

    def write(self, text: str):
        self.log.write(text + "\n")
        self.log.flush()

    def record(self) -> list[dict]:
        return [asdict(check) for check in self.checks]

    # ---- programs

    def run(self, command: list, *, environment: dict | None = None) -> Done:
        """Runs to its end or the step's; what it says goes to the log."""
        words = [str(word) for word in command]
        environment = self.bundle.environment | (environment or {})
        self.write(f"\n$ {shlex.join(words)}")
        begin = time.monotonic()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=environment, cwd=self.folder, start_new_session=True, text=True,
                                   errors="replace")
        late = False
        try:
            out, _ = process.communicate(timeout=max(0.0, self.end - begin))
        except subprocess.TimeoutExpired:
            late = True
            stop(process)
            out, _ = process.communicate()
        except BaseException:  # Ctrl-C
            stop(process)
            raise
        done = Done(process.returncode, out, time.monotonic() - begin)
        self.write(f"{out.rstrip()}\n= {done.code} after {done.seconds:.1f} s")
        if late:
            raise Failed(f"`{Path(words[0]).name}` was stopped after {done.seconds:.0f} s, when the step's time was "
                         f"up; its last words: {done.end or 'none'}")
        return done

    def python(self, script: str, *arguments) -> Done:
        """A script of this folder that needs torch, in a process of its own; not in the bundle's environment."""
        plain = {"LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""), "TMPDIR": str(self.folder)}
        done = self.run([sys.executable, Path(__file__).with_name(script), *arguments], environment=plain)
        if done.code:
            raise Failed(f"{script} ended with {done.code}: {done.end}")
        return done

    def kvcomm(self, name: str, sweep: Path, *sets: str, ranks: int = 1, start: list | None = None,
               environment: dict | None = None) -> journal.Journal:
        """`kvcomm run` into the folder `name`; `start` stands before it in place of mpirun."""
        output = self.folder / name
        if start is None:
            start = self.bundle.mpirun(ranks) if ranks > 1 else []
        words = [*start, self.bundle.program("kvcomm"), "run", sweep, "--output", output]
        done = self.run([*words, *(word for value in sets for word in ("--set", value))], environment=environment)
        if done.code:
            error = re.findall(r"error.*", done.out, re.IGNORECASE)
            raise Failed(f"`kvcomm run` ended with {done.code}: {error[-1] if error else done.end}")
        return journal.read(output)


def json_of(done: Done) -> dict:
    """The last line that a script printed as JSON."""
    lines = [line for line in done.out.splitlines() if line.startswith("{")]
    if not lines:
        raise Failed(f"it printed no JSON; its last words: {done.end or 'none'}")
    return json.loads(lines[-1])
