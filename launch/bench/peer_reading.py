"""What reading is compared with: Python's json, and the same parts kept of each record.

peer_reading.py FORM FILE prints samples, seconds, and the most bytes that the process ever held.
It imports nothing more, so that its memory is the reading's.
"""

import json
import sys
import time


def hotpotqa(file):
    """One array; of each record the supporting sentences."""
    for record in json.load(file):
        sentences = dict(record["context"])
        facts = record["supporting_facts"]
        context = "\n".join(sentences[title][place] for title, place in facts
                            if place < len(sentences.get(title, ())))
        yield record["_id"], context, record["question"], record["answer"]


def scrolls(file):
    """JSON lines; the question stands before the first blank line."""
    for record in map(json.loads, file):
        question, _, context = record["input"].partition("\n\n")
        yield record["pid"], context.strip(), question.strip(), record["output"]


def peak_bytes() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    form, path = sys.argv[1:]
    start = time.perf_counter()
    with open(path, encoding="utf-8") as text:
        samples = list({"hotpotqa": hotpotqa, "scrolls": scrolls}[form](text))
    print(len(samples), time.perf_counter() - start, peak_bytes())
