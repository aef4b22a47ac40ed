"""The record of a benchmark: raw numbers as JSON, and a Markdown page that is made of them."""

import dataclasses
import json
import re
from pathlib import Path
from statistics import median

import machine
from measured import METHODS


def row(case, pairs, limits, config) -> dict:
    """One case's line: medians over the rounds."""
    top = 1e9 * max(speed for kind, by_rows in limits["products"].items()
                    if kind.startswith(case.dtype) for speed in by_rows.values())
    reading = limits["bandwidth"][f"matrix-vector {case.dtype}"] * 1e9
    ratios = [ours.rate / theirs.rate for ours, theirs in pairs]
    line = {"case": dataclasses.asdict(case), "samples": len(pairs[0][0].answers),
            "ratio": median(ratios), "least": min(ratios), "most": max(ratios),
            "busy_s": median(o.about["busy_s"] for o, _ in pairs)}
    for name, runs in zip(("kvcomm", "transformers"), zip(*pairs)):
        prefill_s, decode_s = (median(getattr(m, part) for m in runs)
                               for part in ("prefill_s", "decode_s"))
        rate = median(m.rate for m in runs)
        line[name] = {
            "rate": rate, "sample_s": 1 / rate, "output_tokens": sum(runs[0].output_tokens),
            "prefill_s": prefill_s, "decode_s": decode_s,
            "rest_s": median(m.seconds - m.prefill_s - m.decode_s for m in runs)}
        if not METHODS[case.method].debate:
            flops, read = (count(config, case, runs[0])
                           for count in (machine.prefill_flops, machine.decode_bytes))
            line[name] |= {"prefill_of_limit": flops / prefill_s / top,
                           "decode_of_limit": read / decode_s / reading if decode_s else 0}
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
    programs = "kvcomm", "transformers"
    return table(
        ["dtype", "data set", "method", "batch", "samples",
         *(f"{who} {unit}" for unit in ("s/sample", "samples/s") for who in programs),
         "ratio", "of the rounds", "tokens out", "equal answers"],
        [[*name(l), str(l["samples"]), *(f"{l[who]['sample_s']:.3f}" for who in programs),
          *(f"{l[who]['rate']:.2f}" for who in programs),
          f"{l['ratio']:.2f}", f"{l['least']:.2f} to {l['most']:.2f}",
          f"{l['kvcomm']['output_tokens']} and {l['transformers']['output_tokens']}",
          f"{l['equal']}/{l['samples']}"] for l in lines], 3)


def parts(lines) -> str:
    cells = []
    for l in lines:
        for who in ("kvcomm", "transformers"):
            m = l[who]
            limits = (m.get(f"{part}_of_limit") for part in ("prefill", "decode"))
            cells.append([*name(l), who, *(f"{m[part] * 1e3 / l['samples']:.1f}" for part in
                                           ("prefill_s", "decode_s", "rest_s")),
                          *("-" if share is None else f"{share:.0%}" for share in limits)])
    return table(["dtype", "data set", "method", "batch", "program", "prefill ms", "decode ms",
                  "rest ms", "prefill of limit", "decode of limit"], cells, 3)


def methods(lines) -> str:
    rows = []
    for key in dict.fromkeys(l["case"]["method"] for l in lines):
        method = METHODS[key]
        settings = method.settings.replace("\n", ", ")
        rows.append([key, f"{method.name or key}({settings})" if settings else method.name or key,
                     method.transformers, " and ".join(map(str, method.batches))])
    return table(["method", "kvcomm", "transformers", "batch"], rows, 4)


def machine_limits(limits) -> str:
    rows = [[dtype, *(f"{value:.0f}" for value in by_rows.values())]
            for dtype, by_rows in limits["products"].items()]
    speeds = ", ".join(f"{what} {value:.1f} GB/s" for what, value in limits["bandwidth"].items())
    return table(["GFLOP/s by rows", *map(str, machine.ROWS)], rows, 1) + f"\n\nMemory: {speeds}."


def differences(lines) -> str:
    out = [f"- {' '.join(name(l))}, sample {d['sample']}: {d['kvcomm']!r} and {d['transformers']!r}"
           for l in lines if l["case"]["dtype"] == "float32" for d in l["differing"]]
    return "\n".join(out) or "None."


def readings(lines) -> str:
    cells = [[l["case"], l["what"], str(l["records"]), f"{l['file_bytes'] / 1e6:.0f}",
              *(f"{l[who]['seconds']:.2f}" for who in ("kvcomm", "json")),
              *(f"{l[who]['peak_bytes'] / 1e6:.0f}" for who in ("kvcomm", "json"))] for l in lines]
    return table(["case", "file", "records", "MB", "kvcomm s", "json s", "kvcomm MB", "json MB"],
                 cells, 2)


HEAD = """# kvcomm beside plain transformers, {date}

| | |
|---|---|
{facts}
"""

METHODS_PART = """Data: {data}.

Seconds per sample and samples per second are medians over {repeats} round(s), kvcomm and
transformers in turns; `ratio` is the median of the rounds' samples per second, kvcomm /
transformers. One lane in one process, start-up left out. kvcomm's time is the lane's life less
loading, calibration and the warm-up batch (launch/bench/program.py); transformers' is the whole
loop: template, tokenizer, model, text. Where the answers differ, as they may in bfloat16, so may
the numbers of tokens made. A batch holds no more than the samples that there are.

{rates}

## What was run

`paper` fidelity; settings that are not named are the program's defaults. A batch of transformers is
padded on the left. Contiguous has no rows: it does random's work with other layers.

{methods}

CIPHER runs one sample at a time on both sides, in the authors' way with few samples, since it is
slow. Its steps round to no token, so that the last bits of one step grow in those after it: where
two programs add in another order, the answers of float32 too may differ. All that differ are below.

## Where the time goes

Milliseconds a sample. `prefill` is both ends' up to the first new token, `rest` is everything
outside the model; nld and cipher have three prefills and decodings, first answers included. Of the
limit: prefill's FLOP/s of the dtype's best matrix product below, decode's reading of the weights
(once a step) of matrix times vector; not given for nld and cipher.

{parts}

## The machine's limits

{threads} threads, torch, all layers' matrix products of this model one after the other.

{limits}

## Float32 answers that differ (kvcomm's, then transformers')

{differences}
"""

READING_PART = """## Reading data sets

A file that was just written becomes samples in a fresh process, kvcomm and Python's json in turns,
medians. Python keeps the same parts of a record. Memory is the process's peak.

{readings}
"""


def rows(results: dict, limits: dict, config: dict) -> dict:
    """All measurements of a method, by case and one by one."""
    runs = [{"case": dataclasses.asdict(case), "round": i, "kvcomm": dataclasses.asdict(ours),
             "transformers": dataclasses.asdict(theirs)}
            for case, pairs in results.items() for i, (ours, theirs) in enumerate(pairs)]
    return {"cases": [row(case, pairs, limits, config) for case, pairs in results.items()],
            "runs": runs}


def page(raw: dict) -> str:
    about, lines = raw["about"], raw["cases"]
    cell = lambda value: str(value).replace("|", "\\|")
    facts = "\n".join(f"| {k} | {cell(value)} |" for k, value in about.items() if k != "data")
    parts_of_page = [HEAD.format(date=about["date"], facts=facts)]
    if lines:
        parts_of_page.append(METHODS_PART.format(
            **{key: about[key] for key in ("repeats", "data", "threads")},
            rates=rates(lines), methods=methods(lines), parts=parts(lines),
            limits=machine_limits(raw["limits"]), differences=differences(lines)))
    if raw["readings"]:
        parts_of_page.append(READING_PART.format(readings=readings(raw["readings"])))
    return "\n".join(parts_of_page)


def write(folder: Path, raw: dict) -> Path:
    """Writes <date>-<kind of host>-cpu.json and .md; gives the page's path."""
    about = raw["about"]
    kind = re.sub(r"[^a-z0-9]+", "-", f"{about['cpu']}-{about['cores']}c".lower()).strip("-")
    path = folder / f"{about['date']}-{kind}-cpu.md"
    folder.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    path.write_text(page(raw), encoding="utf-8")
    return path
