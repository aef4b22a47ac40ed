"""The record of a benchmark: raw numbers as JSON, and a Markdown page that is made of them."""

import dataclasses
import json
import re
from pathlib import Path
from statistics import median

import machine


def row(case, pairs, limits, config) -> dict:
    """One case's line: medians over the rounds."""
    top = 1e9 * max(speed for kind, by_rows in limits["products"].items()
                    if kind.startswith(case.dtype) for speed in by_rows.values())
    reading = limits["bandwidth"][f"matrix-vector {case.dtype}"] * 1e9
    ratios = [ours.rate / theirs.rate for ours, theirs in pairs]
    line = {"case": dataclasses.asdict(case), "ratio": median(ratios), "least": min(ratios),
            "most": max(ratios), "busy_s": median(o.about["busy_s"] for o, _ in pairs)}
    for name, runs in zip(("kvcomm", "transformers"), zip(*pairs)):
        prefill_s, decode_s = (median(getattr(m, part) for m in runs)
                               for part in ("prefill_s", "decode_s"))
        line[name] = {
            "rate": median(m.rate for m in runs), "output_tokens": sum(runs[0].output_tokens),
            "prefill_s": prefill_s, "decode_s": decode_s,
            "rest_s": median(m.seconds - m.prefill_s - m.decode_s for m in runs),
            "prefill_of_limit": machine.prefill_flops(config, case, runs[0]) / prefill_s / top,
            "decode_of_limit":
                machine.decode_bytes(config, case, runs[0]) / decode_s / reading if decode_s else 0}
    ours, theirs = pairs[0]
    line["differing"] = [{"sample": i, "kvcomm": a, "transformers": b} for i, (a, b)
                         in enumerate(zip(ours.answers, theirs.answers)) if a != b]
    line["equal"] = len(ours.answers) - len(line["differing"])
    return line


def table(head: list[str], rows: list[list[str]], names: int) -> str:
    rule = "|" + "|".join("---" if i < names else "---:" for i in range(len(head))) + "|"
    return "\n".join([f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(r)} |" for r in rows)])


def name(line: dict) -> list[str]:
    return [str(value) for value in line["case"].values()]


def rates(lines) -> str:
    return table(
        ["dtype", "data set", "method", "batch", "kvcomm", "transformers", "ratio", "of the rounds",
         "tokens out", "equal answers"],
        [[*name(l), f"{l['kvcomm']['rate']:.2f}", f"{l['transformers']['rate']:.2f}",
          f"{l['ratio']:.2f}", f"{l['least']:.2f} to {l['most']:.2f}",
          f"{l['kvcomm']['output_tokens']} and {l['transformers']['output_tokens']}",
          f"{l['equal']}/{l['equal'] + len(l['differing'])}"] for l in lines], 3)


def parts(lines, samples: int) -> str:
    cells = []
    for l in lines:
        for who in ("kvcomm", "transformers"):
            m = l[who]
            cells.append([*name(l), who, *(f"{m[part] * 1e3 / samples:.1f}" for part in
                                           ("prefill_s", "decode_s", "rest_s")),
                          f"{m['prefill_of_limit']:.0%}", f"{m['decode_of_limit']:.0%}"])
    return table(["dtype", "data set", "method", "batch", "program", "prefill ms", "decode ms",
                  "rest ms", "prefill of limit", "decode of limit"], cells, 3)


def machine_limits(limits) -> str:
    rows = [[dtype, *(f"{value:.0f}" for value in by_rows.values())]
            for dtype, by_rows in limits["products"].items()]
    speeds = ", ".join(f"{what} {value:.1f} GB/s" for what, value in limits["bandwidth"].items())
    return table(["GFLOP/s by rows", *map(str, machine.ROWS)], rows, 1) + f"\n\nMemory: {speeds}."


def differences(lines) -> str:
    out = [f"- {' '.join(name(l))}, sample {d['sample']}: {d['kvcomm']!r} and {d['transformers']!r}"
           for l in lines if l["case"]["dtype"] == "float32" for d in l["differing"]]
    return "\n".join(out) or "None."


PAGE = """# kvcomm beside plain transformers, {date}

| | |
|---|---|
{facts}

Data: {data}.

Median samples per second over {repeats} round(s), kvcomm and transformers in turns; `ratio` is the
median of the rounds' kvcomm / transformers. One lane in one process, start-up left out. kvcomm's
time is the lane's life less loading, calibration and the warm-up batch (launch/bench/program.py);
transformers' is the whole loop: template, tokenizer, model, text. Where the answers differ, as they
may in bfloat16, so may the numbers of tokens made.

{rates}

## Where the time goes

Milliseconds a sample. `prefill` is both ends' up to the first new token, `rest` is everything
outside the model. Of the limit: prefill's FLOP/s of the dtype's best matrix product below, decode's
reading of the weights (once a step) of matrix times vector.

{parts}

## The machine's limits

{threads} threads, torch, all layers' matrix products of this model one after the other.

{limits}

## Float32 answers that differ (kvcomm's, then transformers')

{differences}
"""


def write(folder: Path, about: dict, limits: dict, config: dict, results: dict) -> Path:
    """Writes <date>-<kind of host>-cpu.json and .md; gives the page's path."""
    lines = [row(case, pairs, limits, config) for case, pairs in results.items()]
    kind = re.sub(r"[^a-z0-9]+", "-", f"{about['cpu']}-{about['cores']}c".lower()).strip("-")
    page = folder / f"{about['date']}-{kind}-cpu.md"
    folder.mkdir(parents=True, exist_ok=True)
    runs = [{"case": dataclasses.asdict(case), "round": i, "kvcomm": dataclasses.asdict(ours),
             "transformers": dataclasses.asdict(theirs)}
            for case, pairs in results.items() for i, (ours, theirs) in enumerate(pairs)]
    raw = {"about": about, "limits": limits, "cases": lines, "runs": runs}
    page.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    facts = "\n".join(f"| {key} | {value} |" for key, value in about.items() if key != "data")
    page.write_text(PAGE.format(
        **{key: about[key] for key in ("date", "repeats", "data", "threads")}, facts=facts,
        rates=rates(lines), parts=parts(lines, about["samples"]), limits=machine_limits(limits),
        differences=differences(lines)), encoding="utf-8")
    return page
