"""How long 10,000 records take to be read, and in how much memory, beside Python's json."""

import json
import random
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from program import ROOT

RECORDS = 10_000
WORDS = ("the river and its bridges were drawn by a surveyor who “never” signed anything, so café "
         "owners in Malmö told each other \"stories\" about him\n").split(" ")


@dataclass(frozen=True)
class Reading:
    dataset: str  # as kvcomm calls it
    form: str  # of its file, as peer_reading.py calls it
    what: str

    def __str__(self):
        return f"reading {self.dataset}"


READINGS = (Reading("hotpotqa_full", "hotpotqa", "an array; ten paragraphs a record, two kept"),
            Reading("qasper_full", "scrolls", "JSON lines; 21,000 characters a record, kept"))


@dataclass(frozen=True)
class Read:
    """One process's loading of a file."""

    samples: int
    seconds: float  # without the process's start
    peak_bytes: int  # of the whole process


def hotpotqa(number: int, passage) -> dict:
    context = [[f"Title {place}", [passage(130) for _ in range(4)]] for place in range(10)]
    return {"_id": f"made-{number}", "answer": "yes", "question": passage(90) + "?",
            "supporting_facts": [["Title 3", 0], ["Title 7", 2]], "context": context,
            "type": "comparison", "level": "hard"}


def scrolls(number: int, passage) -> dict:
    return {"id": f"made-{number}", "pid": f"made-{number}_0",
            "input": f"{passage(90)}?\n\n{passage(21_000)}", "output": passage(20)}


def make(case: Reading, folder: Path) -> Path:
    """The file of a case, the same one every time."""
    rng = random.Random(1)
    text = " ".join(rng.choices(WORDS, k=100_000))

    def passage(characters: int) -> str:
        start = rng.randrange(len(text) - characters)
        return text[start:start + characters]

    record = {"hotpotqa": hotpotqa, "scrolls": scrolls}[case.form]
    records = (json.dumps(record(i, passage), ensure_ascii=False) for i in range(RECORDS))
    path = folder / f"{case.form}.json"
    with path.open("w", encoding="utf-8") as file:
        if case.form == "hotpotqa":
            file.write(f"[{', '.join(records)}]")
        else:
            file.writelines(line + "\n" for line in records)
    return path


def read(*command) -> Read:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stderr}")
    samples, seconds, peak_bytes = done.stdout.split()
    return Read(int(samples), float(seconds), int(peak_bytes))


def measure(case: Reading, path: Path) -> dict[str, Read]:
    """By program, in turns."""
    reads = {"kvcomm": read(ROOT / "build/launch/bench/read_dataset", case.dataset, path),
             "json": read(sys.executable, ROOT / "launch/bench/peer_reading.py", case.form, path)}
    for program, one in reads.items():
        if one.samples != RECORDS:
            sys.exit(f"{case}: {program} read {one.samples} samples of {RECORDS} records.")
    return reads


def line(case: Reading, path: Path, repeats: int) -> dict:
    """One case's line: medians over the rounds."""
    rounds = [measure(case, path) for _ in range(repeats)]
    found = {"case": str(case), "what": case.what, "records": RECORDS,
             "file_bytes": path.stat().st_size, "rounds": [{who: asdict(one) for who, one in
                                                            reads.items()} for reads in rounds]}
    for program in rounds[0]:
        found[program] = {key: median(getattr(reads[program], key) for reads in rounds)
                          for key in ("seconds", "peak_bytes")}
    return found


def lines(cases: list[Reading], repeats: int) -> list[dict]:
    with tempfile.TemporaryDirectory(prefix="kvcomm-bench-reading-") as folder:
        found = []
        for case in cases:
            path = make(case, Path(folder))
            found.append(line(case, path, repeats))
            path.unlink()
            ours, theirs = (found[-1][who]["seconds"] for who in ("kvcomm", "json"))
            print(f"{case}: {ours:.2f} and {theirs:.2f} s", file=sys.stderr)
        return found
