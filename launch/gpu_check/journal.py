"""What a run of kvcomm did, from its journals: no h5py is needed to read them (src/store/rows.h tells what is in a
line)."""

import json
from dataclasses import dataclass, field
from pathlib import Path

# What these send depends on what was answered first.
DEBATES = ("nld", "cipher")


@dataclass
class Journal:
    samples: list[dict] = field(default_factory=list)  # each with its pair, dataset and method
    ranks: list[dict] = field(default_factory=list)
    failures: list[dict] = field(default_factory=list)

    def of(self, dataset: str, method: str = "") -> list[dict]:
        """The samples of a data set and of a method that begins so."""
        return [row for row in self.samples if row["dataset"] == dataset and row["method"].startswith(method)]


def read(output: Path) -> Journal:
    """All journals below the folder that a sweep wrote to."""
    journal, cells = Journal(), {}
    for path in sorted((output / "journal").glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number} is no JSON: {error}.") from error
            match record.pop("t"):
                case "cell":
                    cells[record["key"]] = {name: record[name] for name in ("pair", "dataset", "method")}
                case "sample":
                    journal.samples.append(cells[record["key"]] | record)
                case "rank":
                    journal.ranks.append(record)
                case "failure":
                    journal.failures.append(record)
    return journal


@dataclass
class Comparison:
    """How two runs of one sweep differ."""

    rows: int
    answers: list[str]  # a line for each answer that differs
    payloads: list[str]  # a line for each payload that differs though nothing in it depends on an answer
    missing: int  # rows that one of the two lacks

    @property
    def equal(self) -> int:
        return self.rows - len(self.answers)


def compare(reference: Journal, other: Journal) -> Comparison:
    one, two = ({(row["pair"], row["dataset"], row["method"], row["sample"]): row for row in journal.samples}
                for journal in (reference, other))
    both = sorted(one.keys() & two.keys())
    result = Comparison(len(both), [], [], len(one.keys() ^ two.keys()))
    for place in both:
        a, b = one[place], two[place]
        name = "{} {} {} sample {}".format(*place)
        if a["answer"] != b["answer"]:
            result.answers.append(f"{name}: {a['answer']!r} and {b['answer']!r}")
        if a["payload_bytes"] != b["payload_bytes"] and not a["method"].startswith(DEBATES):
            result.payloads.append(f"{name}: {a['payload_bytes']} and {b['payload_bytes']} bytes")
    return result


def summed(rows: list[dict], *names: str) -> float:
    return sum(row[name] for row in rows for name in names)


def step_s(rows: list[dict], batch: int) -> float:
    """Seconds of one decoding step of a batch: the first token of an answer is the prefill's."""
    batches = [rows[i:i + batch] for i in range(0, len(rows), batch)]
    steps = sum(max(row["output_tokens"] for row in rows) - 1 for rows in batches)
    return summed(rows, "decode_s") / steps if steps > 0 else float("nan")


def batch_s(rows: list[dict], batch: int, *names: str) -> float:
    """Seconds of these phases in one batch: the rows hold each sample's share."""
    return summed(rows, *names) * batch / len(rows)


def wire_gb_s(rows: list[dict]) -> float:
    seconds = summed(rows, "wire_exposed_s", "wire_hidden_s")
    return summed(rows, "payload_bytes") / seconds / 1e9 if seconds > 0 else float("nan")
